-- What there is of the app and of the rollout, so that each item knows what it may ask. By names,
-- since to_regclass() raises where a role may not look into a schema.
with
there as (
  select c.oid, format('%s.%s', n.nspname, c.relname) as name, c.relkind
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname in ('public', 'ledger', 'supabase_migrations') and c.relkind in ('r', 'p', 'v')
)

select
  max(t.relkind::text) filter (where t.name = 'public.electricity_readings') as legacy_kind,
  max(format_type(a.atttypid, null)) as date_type,
  coalesce(bool_or(t.name = 'public.token_events'), false) as has_events,
  coalesce(bool_or(t.name = 'public.user_profiles'), false) as has_profiles,
  coalesce(bool_or(t.name = 'ledger.settings'), false) as has_settings,
  coalesce(bool_or(t.name = 'ledger.near_matches'), false) as has_migration,
  coalesce(bool_or(t.name = 'ledger.deployments'), false) as has_deployments,
  coalesce(bool_or(t.name = 'supabase_migrations.schema_migrations'), false) as has_history
from there as t
left join pg_catalog.pg_attribute as a
  on a.attrelid = t.oid and a.attname = 'date' and not a.attisdropped
    and t.name = 'public.electricity_readings'
