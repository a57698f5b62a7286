-- Anchors that are higher than the balance allows: an unrecorded top-up, or a typing error.
select p.user_id, p.event_id as row_id, format('%%s kWh used', p.daily_consumption) as finding
from (select distinct e.user_id from public.token_events as e) as u
cross join lateral public.calculate_user_positions(u.user_id) as p
where p.daily_consumption < 0
