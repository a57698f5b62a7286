-- Purpose: phase 1, validates the constraints that were added NOT VALID, beside running writers.
-- Objects: constraints of public.token_events
-- Locks: share update exclusive on token_events: reads and writes go on
-- Rollback: rollbacks/20261101000105_validate_token_events_constraints.sql
set local lock_timeout = '5s';

do $$
declare
  v_name text;
begin
  for v_name in
    select c.conname from pg_constraint as c
    where c.conrelid = 'public.token_events'::regclass and not c.convalidated
    order by c.conname
  loop
    execute format('alter table public.token_events validate constraint %I', v_name);
  end loop;
end;
$$;
