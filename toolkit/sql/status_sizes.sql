-- How large each relation is: rows by the statistics, bytes with its indexes. Rows inserted since
-- the last analyze are in the collector's count; after a crash or a copy that one is empty.
select
  n.nspname || '.' || c.relname as name,
  c.relkind::text as kind,
  greatest(c.reltuples::bigint, pg_catalog.pg_stat_get_live_tuples(c.oid), 0) as estimated_rows,
  pg_catalog.pg_relation_size(c.oid) as heap_bytes,
  pg_catalog.pg_total_relation_size(c.oid) as total_bytes,
  case c.relkind when 'm' then c.relispopulated end as populated
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
where c.oid in (
    to_regclass('public.electricity_readings'), to_regclass('public.token_events'),
    to_regclass('public.recalculation_batches'),
    to_regclass('public.electricity_readings_mv'), to_regclass('ledger.readings'),
    to_regclass('ledger.migrated_readings'), to_regclass('ledger.migration_rejects'),
    to_regclass(%(archive)s::text)
  )
  and c.relkind in ('r', 'm', 'p')
order by total_bytes desc, name asc
