-- Purpose: what some deployments did to the legacy table: a point in time for each reading.
-- Objects: column public.electricity_readings.date.
-- Locks:   access exclusive on the table while it is rewritten.

alter table public.electricity_readings
alter column date type timestamptz using (date::timestamp at time zone 'UTC');
