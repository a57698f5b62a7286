-- Recalculation batches by day and trigger type, and how many events they changed: of all pages
-- (100 per cent) or of a sample.
select
  (b.created_at at time zone %(time_zone)s)::date as recorded_on,
  b.trigger_type,
  count(*) as batches,
  coalesce(sum(b.events_count), 0)::bigint as events
from public.recalculation_batches as b
tablesample system (%(percent)s) repeatable (1)
where b.created_at between now() - make_interval(days => %(days)s) and now()
group by 1, 2
order by 1 desc, 2 asc
