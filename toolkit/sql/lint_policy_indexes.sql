-- A policy's column without an index in front of it: each read of a user scans everybody's rows.
with
declared as (
  select d.name, d.owner
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, kind text, owner text, operations text[]
  )
  where d.kind = 'table' and d.owner <> '' and d.operations <> '{}'
)
select
  d.name as subject,
  format('no valid index of %%s begins with %%s, on which its policies filter', d.name, d.owner)
    as finding,
  format('create index … on %%s (%%I, …);', d.name, d.owner) as next_step
from declared as d
where not exists (
  select from pg_catalog.pg_index as i
  inner join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attname = d.owner
  where i.indrelid = to_regclass(d.name) and i.indisvalid and i.indkey[0] = a.attnum
    and i.indpred is null
)
