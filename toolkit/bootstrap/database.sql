-- Purpose: who owns the database and the schema public, and who may use them.
-- Objects: the current database, schema public.
-- Locks:   brief ones on their catalog rows.

do $owner$
begin
  execute format('alter database %I owner to postgres', current_database());
end
$owner$;

-- The role postgres is an implicit member of pg_database_owner, and so may create here;
-- nobody else may, not even PUBLIC in a database that came from before version 15.
create schema if not exists public;
alter schema public owner to pg_database_owner;
revoke create on schema public from public;
grant usage on schema public to public;
grant usage on schema public to postgres, anon, authenticated, service_role;
