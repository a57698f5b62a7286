-- Indexes of our tables that nothing may rely on: a concurrent build was cut off. One that is being
-- built right now is left out. A leftover of a cut-off reindex goes; any other is built again.
select
  format('index %s of %s is invalid: a build of it was cut off', i.indexrelid::regclass,
    i.indrelid::regclass) as finding,
  case
    when c.relname ~ '_cc(new|old)\d*$'
    then format('drop index concurrently %s;', i.indexrelid::regclass)
    else format('reindex index concurrently %s;', i.indexrelid::regclass)
  end as repair,
  true as safe
from pg_index as i
inner join pg_class as c on c.oid = i.indexrelid
inner join pg_class as t on t.oid = i.indrelid
where (not i.indisvalid or not i.indisready)
  and (
    t.relnamespace = to_regnamespace('ledger')
    or t.oid in (
      to_regclass('public.token_events'), to_regclass('public.recalculation_batches'),
      to_regclass('public.electricity_readings'), to_regclass('public.user_profiles'),
      to_regclass('public.electricity_readings_mv')
    )
  )
  and not exists (
    select from pg_stat_progress_create_index as b
    where b.datname = current_database() and (b.index_relid = i.indexrelid or b.relid = t.oid)
  )
order by i.indexrelid::regclass::text
