-- The newest readings of whoever asks, as clients page through them.
select id, user_id, date, kwh_value, token_cost, token_amount, notes, meter_photo_url, created_at
from public.electricity_readings_v
where user_id = (select auth.uid())
order by date desc, created_at desc, id desc
limit %(limit)s
