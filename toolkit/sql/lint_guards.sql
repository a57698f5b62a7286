-- The triggers that keep events append-only: there, switched on, calling what they must, firing
-- when they must.
with
declared as (
  select d.name, g.key as trigger_name, g.value as function_name
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (name text, guards jsonb)
  cross join pg_catalog.jsonb_each_text(d.guards) as g (key, value)
)
select
  d.name as subject,
  format(
    'guard %%s of %%s %%s', d.trigger_name, d.name,
    case
      when t.oid is null then 'is missing'
      when t.tgenabled not in ('O', 'A') then 'is switched off'
      when t.tgqual is not null or t.tgattr <> '' then 'fires for some changes only'
      else 'calls ' || t.tgfoid::pg_catalog.regprocedure
    end
  ) as finding,
  'push the phases again, or alter table … enable trigger …' as next_step
from declared as d
left join pg_catalog.pg_trigger as t
  on t.tgrelid = to_regclass(d.name) and t.tgname = d.trigger_name and not t.tgisinternal
where t.oid is null
  or t.tgenabled not in ('O', 'A')
  or t.tgqual is not null
  or t.tgattr <> ''
  or t.tgfoid::pg_catalog.regprocedure::text <> d.function_name
