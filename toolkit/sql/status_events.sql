-- Events by type and by the day on which they were recorded, in one pass: of all pages (100 per
-- cent) or of a sample.
select
  e.event_type,
  e.voided,
  e.recorded_on,
  count(*) as events
from (
  select
    s.event_type,
    coalesce(s.is_voided, false) as voided,
    case
      when s.created_at between now() - make_interval(days => %(days)s) and now()
      then (s.created_at at time zone %(time_zone)s)::date
    end as recorded_on
  from public.token_events as s
  tablesample system (%(percent)s) repeatable (1)
) as e
group by grouping sets ((e.event_type, e.voided), (e.recorded_on))
