-- Purpose: the roles that every Supabase database has, with their attributes, memberships
--          and time limits. A role that is there already, as in Supabase's own image, keeps
--          its attributes and limits; memberships are only added.
-- Objects: roles anon, authenticated, service_role, authenticator, postgres (cluster-wide).
-- Locks:   pg_authid until the end of the transaction, so that two databases of one
--          server can be given their shape at the same time.

lock table pg_catalog.pg_authid in share row exclusive mode;

-- The REST server reads the limits, and applies those of the role that it switches to.
do $roles$
declare
  wanted record;
  value text;
begin
  for wanted in
    select *
    from (values
      ('anon', 'nologin inherit', '{"statement_timeout = ''3s''"}'),
      ('authenticated', 'nologin inherit', '{"statement_timeout = ''8s''"}'),
      ('service_role', 'nologin inherit bypassrls', '{}'),
      (
        'authenticator', 'login noinherit',
        '{"statement_timeout = ''8s''", "lock_timeout = ''8s''"}'
      ),
      (
        'postgres', 'login inherit createdb createrole replication bypassrls',
        '{"search_path = \"$user\", public, extensions"}'
      )
    ) as roles (name, attributes, settings)
  loop
    continue when exists (select from pg_catalog.pg_roles where rolname = wanted.name);
    execute format('create role %I nosuperuser %s', wanted.name, wanted.attributes);
    foreach value in array wanted.settings::text[] loop
      execute format('alter role %I set %s', wanted.name, value);
    end loop;
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
