-- Purpose: stand in for the grants of a dump that has none (--no-acl): what Supabase's
--          older projects give the API roles on everything in public. Policies guard it.
-- Objects: tables, views, sequences and functions of schema public.
-- Locks:   brief ones on the catalog.

grant all on all tables in schema public to anon, authenticated, service_role;
grant all on all sequences in schema public to anon, authenticated, service_role;
grant all on all routines in schema public to anon, authenticated, service_role;
