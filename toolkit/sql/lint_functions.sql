-- Functions: whose rights they run with, where they look names up, how they promise to behave, and
-- whether one that callers can reach could make somebody else of them.
with
declared as (
  select d.name, d.definer, d.volatility, d.search_path, d.found
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, kind text, definer text, volatility text, search_path text, found boolean
  )
  where d.kind = 'function'
),
function as (
  select
    p.oid,
    p.oid::pg_catalog.regprocedure::text as name,
    n.nspname,
    p.prosecdef,
    case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end
      as volatility,
    (
      select string_agg(substr(c.setting, length('search_path=') + 1), '')
      from unnest(p.proconfig) as c (setting)
      where c.setting like 'search\_path=%%'
    ) as search_path,
    p.prosrc,
    (
      select bool_or(
        has_function_privilege(r.name, p.oid, 'execute')
        and has_schema_privilege(r.name, n.oid, 'usage')
      )
      from unnest(%(roles)s::text[]) as r (name)
    ) as is_open
  from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = any(%(proven)s)
    and p.prokind in ('f', 'p')
)
select
  f.name as subject,
  format('function %%s %%s', f.name, x.problem) as finding,
  x.next_step
from function as f
left join declared as d on d.name = f.name
cross join lateral (
  values
  (
    case when f.prosecdef and coalesce(d.definer, '') = ''
    then 'runs with its owner''s rights, and nobody declared why' end,
    'alter function … security invoker; or declare the reason'
  ),
  (
    case when not f.prosecdef and d.definer <> ''
    then 'runs with its caller''s rights, and is declared to need its owner''s' end,
    'alter function … security definer; or take the reason out'
  ),
  (
    case
      when coalesce(d.search_path, '') like 'none:%%' then null
      when f.search_path is null then 'looks names up wherever its caller says'
      when d.found and f.search_path = '""' then null
      when f.search_path
        <> case coalesce(d.search_path, '') when '' then '""' else d.search_path end
      then 'looks names up in ' || f.search_path
    end,
    'alter function … set search_path = '''';'
  ),
  (
    case when d.name is not null and not d.found and f.volatility <> d.volatility
    then 'is ' || f.volatility || ', and declared to be ' || d.volatility end,
    'compare it with the migration'
  ),
  (
    case when f.is_open and f.nspname = any(%(exposed)s) and not coalesce(d.found, false)
      and f.prosrc ~* (
        '\m(set_config|reset\s+role|'
        || 'set\s+(local\s+|session\s+)?(role|session|"?request))\M'
      )
    then 'can be called through the API and changes settings: a caller could become somebody else'
    end,
    'revoke execute on it, or take the setting out of it'
  ),
  (
    case when f.is_open and f.nspname = any(%(exposed)s) and f.prosrc ~* '\mexecute\M'
    then 'can be called through the API and runs statements that it puts together' end,
    'revoke execute on it, or write its statements out'
  )
) as x (problem, next_step)
where x.problem is not null
