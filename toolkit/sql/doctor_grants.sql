-- Rights that the declaration of access gives and the database does not, one row an object, right
-- and role. %(declared)s: [{kind, object, privilege, role, columns or null, except or null}].
with
declared as (
  select d.kind, d.object, d.privilege, d.role_name, d.columns, d.except_columns
  from jsonb_to_recordset(%(declared)s::jsonb) as d (
    kind text, object text, privilege text, role_name text, columns jsonb, except_columns jsonb
  )
),
tables as (
  select -- before 16, asking for the wrong kind of name is an error
    d.*,
    case
      when d.kind in ('table', 'view', 'materialized view', 'sequence') then to_regclass(d.object)
    end as relation
  from declared as d
  where d.kind in ('table', 'view', 'materialized view', 'sequence')
),
others as (
  select
    d.*,
    case d.kind when 'function' then to_regprocedure(d.object) end as function,
    case d.kind when 'schema' then to_regnamespace(d.object) end as namespace
  from declared as d
),
-- Where a right goes by column: those that are named, or all but those that are.
wanted as (
  select t.object, t.relation, t.privilege, t.role_name, a.attname
  from tables as t
  inner join pg_attribute as a
    on a.attrelid = t.relation and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  where (t.columns is not null or t.except_columns is not null)
    and (t.columns is null or t.columns ? a.attname::text)
    and (t.except_columns is null or not t.except_columns ? a.attname::text)
    -- What the app added since may be meant for nobody.
    and (t.columns is not null or %(known)s::jsonb -> t.object is null
      or %(known)s::jsonb -> t.object ? a.attname::text)
)
select
  format('%%s has lost %%s on %%s', t.role_name, t.privilege, t.object) as finding,
  format('grant %%s on %%s%%s to %%I;', t.privilege,
    case t.kind when 'sequence' then 'sequence ' else '' end, t.relation, t.role_name) as repair,
  coalesce(c.relrowsecurity or c.relkind not in ('r', 'p'), false) as safe
from tables as t
inner join pg_class as c on c.oid = t.relation
where t.columns is null and t.except_columns is null
  and case
    when t.kind = 'sequence'
    then not has_sequence_privilege(t.role_name, t.relation, t.privilege)
    else not has_table_privilege(t.role_name, t.relation, t.privilege)
  end
union all
select
  format('%%s has lost %%s (%%s) on %%s', w.role_name, w.privilege,
    string_agg(w.attname, ', ' order by w.attname), w.object) as finding,
  format('grant %%s (%%s) on %%s to %%I;', w.privilege,
    string_agg(quote_ident(w.attname), ', ' order by w.attname), w.relation, w.role_name) as repair,
  bool_and(c.relrowsecurity) as safe
from wanted as w
inner join pg_class as c on c.oid = w.relation
where not has_column_privilege(w.role_name, w.relation, w.attname, w.privilege)
group by w.object, w.relation, w.privilege, w.role_name
union all
select
  format('%%s has lost execute on %%s', f.role_name, f.object) as finding,
  format('grant execute on function %%s to %%I;', f.function, f.role_name) as repair,
  true as safe
from others as f
where f.function is not null
  and not has_function_privilege(f.role_name, f.function, 'execute')
union all
select
  format('%%s has lost %%s on schema %%s', f.role_name, f.privilege, f.object) as finding,
  format('grant %%s on schema %%I to %%I;', f.privilege, f.object, f.role_name) as repair,
  true as safe
from others as f
where f.namespace is not null
  and not has_schema_privilege(f.role_name, f.namespace, f.privilege)
order by finding
