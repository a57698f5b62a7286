-- Days with more than one reading of a user: each stays an event of its own.
select
  'warn' as severity,
  'days' as subject,
  format('%%s days have more than one reading, %%s rows in all', count(*), sum(d.readings))
    as finding,
  'nothing to do where a household read twice; a row that is a mistake is better deleted before'
    as next_step,
  count(*) as amount
from (
  select count(*) as readings
  from public.electricity_readings as r
  where r.date between '4713-01-05 00:00+00 BC' and '294276-12-27 00:00+00'
  group by
    r.user_id,
    case
      when pg_typeof(r.date) = 'date'::regtype then r.date::timestamp
      else r.date::timestamptz at time zone %(zone_name)s
    end::date
  having count(*) > 1
) as d
having count(*) > 0
