-- Purpose: the roles that every Supabase database has, with their attributes, memberships
--          and time limits.
-- Objects: roles anon, authenticated, service_role, authenticator, postgres (cluster-wide).
-- Locks:   pg_authid until the end of the transaction, so that two databases of one
--          server can be given their shape at the same time.

lock table pg_catalog.pg_authid in share row exclusive mode;

do $roles$
declare
  wanted record;
begin
  for wanted in
    select *
    from (values
      ('anon', 'nologin inherit'),
      ('authenticated', 'nologin inherit'),
      ('service_role', 'nologin inherit bypassrls'),
      ('authenticator', 'login noinherit'),
      ('postgres', 'login inherit createdb createrole replication bypassrls')
    ) as roles (name, attributes)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
      execute format('create role %I', wanted.name);
    end if;
    execute format('alter role %I nosuperuser %s', wanted.name, wanted.attributes);
  end loop;
end
$roles$;

grant anon to authenticator;
grant authenticated to authenticator;
grant service_role to authenticator;

-- From 16 on, createrole alone no longer gives rights over other roles, so Supabase grants
-- them to postgres with every option; before, plain membership does.
do $memberships$
begin
  if current_setting('server_version_num')::integer >= 160000 then
    execute 'grant anon, authenticated, service_role, authenticator to postgres '
      'with admin true, inherit true, set true';
  else
    execute 'grant anon, authenticated, service_role, authenticator to postgres';
  end if;
end
$memberships$;

-- The REST server reads these and applies those of the role that it switches to.
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role postgres set search_path = "$user", public, extensions;
