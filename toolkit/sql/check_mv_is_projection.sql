-- The materialized view, as just refreshed, against the projection, both ways.
with
missing as (
  select * from ledger.readings
  except all
  select * from public.electricity_readings_mv
),
surplus as (
  select * from public.electricity_readings_mv
  except all
  select * from ledger.readings
)
select m.user_id, m.id as row_id, 'the materialized view lacks this row' as finding
from missing as m
union all
select s.user_id, s.id as row_id, 'the projection lacks this row' as finding
from surplus as s
