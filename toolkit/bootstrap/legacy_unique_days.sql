-- Purpose: what some deployments have: at most one reading per user and day.
-- Objects: index public.electricity_readings_user_id_date_key.

create unique index electricity_readings_user_id_date_key
on public.electricity_readings (user_id, date);
