-- The triggers that keep events append-only: there, switched on, calling what they must, firing
-- when they must.
with
declared as (
  select
    d.name,
    g.key as trigger_name,
    split_part(g.value, ' ', 1) as function_name,
    substr(g.value, strpos(g.value, ' ') + 1) as fires
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
      when x.fires <> d.fires then 'fires ' || x.fires || ', not ' || d.fires
      else 'calls ' || t.tgfoid::pg_catalog.regprocedure
    end
  ) as finding,
  'push the phases again, or alter table … enable trigger …' as next_step
from declared as d
left join pg_catalog.pg_trigger as t
  on t.tgrelid = to_regclass(d.name) and t.tgname = d.trigger_name and not t.tgisinternal
left join lateral ( -- noqa: ST05
  select concat_ws(
    ' ',
    case when t.tgtype & 2 <> 0 then 'before' when t.tgtype & 64 <> 0 then 'instead of'
      else 'after' end,
    case when t.tgtype & 4 <> 0 then 'insert' end,
    case when t.tgtype & 8 <> 0 then 'delete' end,
    case when t.tgtype & 16 <> 0 then 'update' end,
    case when t.tgtype & 32 <> 0 then 'truncate' end,
    case when t.tgtype & 1 <> 0 then 'row' else 'statement' end
  ) as fires
) as x on true
where t.oid is null
  or t.tgenabled not in ('O', 'A')
  or t.tgqual is not null
  or t.tgattr <> ''
  or x.fires <> d.fires
  or t.tgfoid::pg_catalog.regprocedure::text <> d.function_name
