-- Every table, view, materialized view, sequence and composite type of public and ledger, with its
-- owner. A sequence of an identity column has its table's owner and is said to have none.
select
  'relation' as aspect,
  n.nspname as schema_name,
  c.relname as relation_name,
  null as name,
  jsonb_build_object(
    'kind', case c.relkind
      when 'r' then 'table'
      when 'p' then 'partitioned table'
      when 'v' then 'view'
      when 'm' then 'materialized view'
      when 'S' then 'sequence'
      when 'f' then 'foreign table'
      else 'type'
    end,
    'owner', case
      when not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i'
          and d.refclassid = 'pg_class'::regclass
      )
      then c.relowner::regrole::text
    end,
    'guarded', c.relrowsecurity,
    'forced', c.relforcerowsecurity,
    'unlogged', c.relpersistence = 'u',
    'options', array_to_string(c.reloptions, ', '),
    'definition', case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
  ) as facts
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('public', 'ledger')
  and (
    c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    or (c.relkind = 'c' and exists (select from pg_type as t where t.typrelid = c.oid))
  )
