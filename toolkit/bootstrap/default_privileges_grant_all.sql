-- Purpose: the regime of older projects: whatever postgres creates in public is open to
--          the API roles, and row level security is all that guards it.
-- Objects: default privileges of postgres in schema public.
-- Locks:   brief ones on the catalog.

alter default privileges for role postgres in schema public
grant all on tables to anon, authenticated, service_role;

alter default privileges for role postgres in schema public
grant all on sequences to anon, authenticated, service_role;

alter default privileges for role postgres in schema public
grant all on functions to anon, authenticated, service_role;
