-- One user's positions, newest first.
select event_date, event_type, kwh_amount, calculated_position, daily_consumption
from public.calculate_user_positions(%(user_id)s)
order by event_date desc, created_at desc, event_id desc
limit %(limit)s
