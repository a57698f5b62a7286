-- The operator's counts after the migration.
select
  (select count(*) from public.electricity_readings) as legacy_rows,
  (select count(*) from ledger.migrated_readings as l where not l.superseded) as migrated,
  (select count(*) from ledger."merges") as merged,
  (select count(*) from ledger.migration_rejects) as rejected,
  (
    select count(*) from public.token_events as e
    where not e.is_voided and e.event_type <> 'VOID'
      and not exists (
        select from ledger.migrated_readings as l
        where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
          and l.event_id = e.id
      )
  ) as event_only,
  (select count(*) from public.token_events) as events,
  (select count(*) from public.electricity_readings_v) as view_rows,
  (select count(*) from public.electricity_readings_mv) as mv_rows,
  pg_total_relation_size('public.electricity_readings_mv') as mv_bytes,
  pg_total_relation_size('ledger.readings') as projection_bytes
