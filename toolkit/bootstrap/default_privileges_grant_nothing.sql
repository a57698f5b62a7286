-- Purpose: the regime of newer projects: what postgres creates in public is nobody else's
--          until it is granted.
-- Objects: default privileges of postgres in schema public.
-- Locks:   brief ones on the catalog.
-- Note:    PostgreSQL itself still gives EXECUTE on new functions to PUBLIC, in both.

alter default privileges for role postgres in schema public
revoke all on tables from anon, authenticated, service_role;

alter default privileges for role postgres in schema public
revoke all on sequences from anon, authenticated, service_role;

alter default privileges for role postgres in schema public
revoke all on functions from anon, authenticated, service_role;
