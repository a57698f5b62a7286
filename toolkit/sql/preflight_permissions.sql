-- What the role must be allowed to do before it can migrate.
with
me as (
  select r.oid, r.rolname::text as name, r.rolbypassrls or r.rolsuper as sees_all
  from pg_catalog.pg_roles as r
  where r.rolname = current_user
),
-- The app's tables that the phases alter, and everything that earlier phases made.
ours as (
  select format('%s.%s', n.nspname, c.relname) as name, c.relowner as owner
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm')
    and (
      n.nspname = 'ledger'
      or (
        n.nspname = 'public'
        and c.relname in (
          'user_profiles', 'electricity_readings', 'token_events', 'recalculation_batches',
          'electricity_readings_v', 'electricity_readings_mv'
        )
      )
    )
),
-- By name, since to_regclass() raises where a role may not look into a schema.
others as (
  select c.oid, format('%s.%s', n.nspname, c.relname) as name
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where (n.nspname = 'auth' and c.relname = 'users')
    or (n.nspname = 'supabase_migrations' and c.relname = 'schema_migrations')
    or (n.nspname = 'public' and c.relname = 'user_profiles')
),
-- Rights, whether they are there, what is missing without them, and how to get them.
rights as (
  select
    has_database_privilege(current_database(), 'create') as held,
    format('database %s', current_database()) as subject,
    'may not create schemas' as finding,
    format('grant create on database %I to %I;', current_database(), m.name) as next_step
  from me as m
  union all
  select
    has_schema_privilege('public', 'create'), 'schema public', 'may not create objects in public',
    format('grant create on schema public to %I;', m.name)
  from me as m
  union all
  select
    false, 'schema ' || n.nspname,
    format('may not use and create in %s', n.nspname),
    format('grant usage, create on schema %I to %I;', n.nspname, m.name)
  from me as m, pg_catalog.pg_namespace as n
  where n.nspname in ('ledger', 'supabase_migrations')
    and not (
      has_schema_privilege(n.oid, 'create') and has_schema_privilege(n.oid, 'usage')
    )
  union all
  select
    has_table_privilege(o.oid, p.name), o.name,
    format('may not %s in the history of the Supabase CLI', p.name),
    format('grant %s on %s to %I;', p.name, o.name, m.name)
  from me as m, others as o, (values ('select'), ('insert'), ('update'), ('delete')) as p (name)
  where o.name = 'supabase_migrations.schema_migrations'
  union all
  select
    has_table_privilege(o.oid, p.name), o.name, format('may not use auth.users for %s', p.name),
    format('grant %s on %s to %I;', p.name, o.name, m.name)
  from me as m, others as o, (values ('select'), ('references'), ('trigger')) as p (name)
  where o.name = 'auth.users'
    and not exists (select from others as x where x.name = 'public.user_profiles')
)

select
  'fail' as severity,
  o.name as subject,
  format('%s belongs to %s, of which %s is no member', o.name, o.owner::regrole, m.name)
    as finding,
  format('connect as %s', o.owner::regrole) as next_step,
  1::bigint as amount
from ours as o, me as m
where not pg_has_role(m.name, o.owner, 'usage')
union all
select
  'warn',
  o.name,
  format('%s belongs to %s, what the phases make would belong to %s', o.name, o.owner::regrole,
    m.name),
  format('connect as %s: one role must own the tables, the views and the functions',
    o.owner::regrole),
  1
from ours as o, me as m
where o.owner <> m.oid and pg_has_role(m.name, o.owner, 'usage')
union all
select
  'fail',
  'bypassrls',
  format('row level security binds %s: it would see no row, and empty the views', m.name),
  format('alter role %I bypassrls;', m.name),
  1
from me as m
where not m.sees_all
union all
select 'fail', r.subject, format('%s %s', m.name, r.finding), r.next_step, 1
from rights as r, me as m
where not r.held
union all
select
  'fail',
  r.name,
  case
    when to_regrole(r.name) is null then format('there is no role %s', r.name)
    else format('%s is no member of %s', m.name, r.name)
  end,
  case
    when to_regrole(r.name) is null then 'this is no database of Supabase''s shape: check the URL'
    else format('grant %I to %I;', r.name, m.name)
  end,
  1
from me as m, (values ('anon'), ('authenticated'), ('service_role'), ('authenticator')) as r (name)
where to_regrole(r.name) is null or not pg_has_role(m.name, to_regrole(r.name), 'member')
