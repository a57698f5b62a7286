-- What of the rollout is there, by name; nothing of it has to be.
select
  to_regnamespace('ledger') is not null as ledger,
  to_regclass('public.electricity_readings') is not null as legacy,
  (
    select c.relkind::text from pg_catalog.pg_class as c
    where c.oid = to_regclass('public.electricity_readings')
  ) as legacy_kind,
  to_regclass('public.token_events') is not null as events,
  to_regclass('public.recalculation_batches') is not null as batches,
  to_regclass('ledger.settings') is not null as settings,
  to_regclass('ledger.deployments') is not null as deployments,
  to_regclass('ledger.readings') is not null as projection,
  to_regclass('ledger.refresh_log') is not null as refresh_log,
  to_regclass('ledger.migration_runs') is not null as runs,
  to_regclass('ledger.migrated_readings') is not null as migrated,
  to_regclass('ledger.migration_rejects') is not null as rejects,
  to_regclass('ledger.near_matches') is not null as near_matches,
  to_regclass('ledger.reviewed_matches') is not null as decisions,
  to_regclass('ledger.receipts') is not null as receipts,
  to_regclass('ledger.unsettled') is not null as unsettled,
  to_regclass('supabase_migrations.schema_migrations') is not null as history,
  (
    select count(*) = 3 from pg_catalog.pg_trigger as t
    where t.tgrelid = to_regclass('public.electricity_readings') and t.tgenabled in ('O', 'A')
      and t.tgname in (
        'electricity_readings_sync_inserts', 'electricity_readings_sync_updates',
        'electricity_readings_sync_deletes'
      )
  ) as sync,
  -- The table that the legacy name became at the cutover, wherever it went: the mapping reads it.
  (
    select min(quote_ident(n.nspname) || '.' || quote_ident(c.relname))
    from pg_catalog.pg_depend as d
    inner join pg_catalog.pg_rewrite as w on w.oid = d.objid
    inner join pg_catalog.pg_class as c on c.oid = d.refobjid
    inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where d.classid = to_regclass('pg_catalog.pg_rewrite')
      and d.refclassid = to_regclass('pg_catalog.pg_class')
      and w.ev_class = to_regclass('ledger.mapped_readings') and c.relkind = 'r'
      and c.relname <> 'user_profiles' and c.oid <> to_regclass('public.token_events')
  ) as archive,
  to_regclass('ledger.cutovers') is not null as cutovers,
  to_regprocedure('public.ledger_health(integer)') is not null as work,
  now() as clock,
  current_setting('server_version') as server_version,
  pg_catalog.pg_is_in_recovery() as replica
