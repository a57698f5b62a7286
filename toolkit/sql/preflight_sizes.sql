-- Bytes on disk, indexes among them; 0 for what is not there.
select
  coalesce(pg_database_size(current_database()), 0) as database_bytes,
  coalesce(pg_total_relation_size(to_regclass('public.electricity_readings')), 0) as legacy_bytes,
  coalesce(pg_total_relation_size(to_regclass('public.token_events')), 0) as event_bytes,
  coalesce(pg_total_relation_size(to_regclass('ledger.readings')), 0) as projection_bytes
