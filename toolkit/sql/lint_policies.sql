-- Each policy must say whose row it is and nothing looser: permissive, for one operation, to
-- signed-in users, with the owner's column held to the caller. What users may do has one policy;
-- what they may not has none. The app's own tables may call auth.uid() in the app's own way.
with
declared as (
  select
    d.name,
    d.owner,
    d.policies,
    -- A table that the rollout made has the rollout's policies; one that it found, the app's.
    (d.found or d.policies <> '') and not exists (
      select from ledger.found_objects as o
      where o.object_name = d.name and o.origin = 'created'
    ) as found,
    d.operations,
    d.open_operations,
    d.conditions
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, kind text, owner text, found boolean, operations text[], open_operations text[],
    conditions text[], policies text
  )
  where d.kind = 'table'
),
policy as (
  select
    n.nspname || '.' || c.relname as table_name,
    p.polname,
    case p.polcmd
      when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
      else 'all'
    end as operation,
    p.polpermissive,
    (
      select array_agg(case r.oid when 0 then 'public' else r.oid::pg_catalog.regrole::text end)
      from unnest(p.polroles) as r (oid)
    ) as roles,
    pg_catalog.pg_get_expr(p.polqual, p.polrelid) as using_text,
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) as check_text
  from pg_catalog.pg_policy as p
  inner join pg_catalog.pg_class as c on c.oid = p.polrelid
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = any(%(proven)s)
    -- Who passes row level security by gains nothing by a policy.
    and p.polroles <> array[to_regrole('service_role')::pg_catalog.oid]
),
judged as (
  select
    p.*,
    d.owner,
    coalesce(d.found, false) as found,
    coalesce(d.policies, '') as kept,
    coalesce(d.operations, '{}') as operations,
    coalesce(d.open_operations, '{}') as open_operations,
    coalesce(d.conditions, '{}') as conditions,
    -- The only tests of ownership, as Postgres writes them back.
    array[
      format('(%%I = ( SELECT auth.uid() AS uid))', d.owner),
      format('(( SELECT auth.uid() AS uid) = %%I)', d.owner)
    ] || case when d.found then array[
      format('(auth.uid() = %%I)', d.owner), format('(%%I = auth.uid())', d.owner),
      format('((auth.uid())::text = (%%I)::text)', d.owner),
      format('((%%I)::text = (auth.uid())::text)', d.owner)
    ] else '{}' end as tests
  from policy as p
  left join declared as d on d.name = p.table_name
),
-- One row a problem.
problem as (
  select j.*, x.problem
  from judged as j
  cross join lateral (
    values
    (
      case when not (j.operation = any(j.operations || j.open_operations)
        or (j.found and j.operation = 'all')
        or j.kept <> '')
      then 'is for an operation that no user has' end
    ),
    (case when not j.polpermissive then 'is restrictive, which the declaration does not know' end),
    (
      case when not j.roles <@ case when j.found then array['authenticated', 'public']
        else array['authenticated'] end
      then 'is for ' || array_to_string(j.roles, ', ') end
    ),
    (
      case when j.operation <> 'insert' and not j.operation = any(j.open_operations)
        and not exists (
          select from unnest(j.tests) as t (test)
          where coalesce(j.using_text, '') = t.test
            or (j.found and starts_with(coalesce(j.using_text, ''), '(' || t.test || ' AND ')
              and j.using_text !~ ' OR ')
        )
      then 'lets through more than the caller''s own rows: using '
        || coalesce(j.using_text, 'nothing') end
    ),
    (
      case when j.operation = 'insert' or (j.operation in ('update', 'all')
        and (j.check_text is not null or not j.found))
      then case
        when j.check_text is null then 'checks nothing of what is written'
        -- Its own test, alone or with the conditions that the declaration names.
        when not exists (
          select from unnest(j.tests) as t (test)
          where j.check_text = t.test
            or (
              j.operation = 'insert' and j.conditions <> '{}'
              and j.check_text
                = '(' || t.test || ' AND ' || array_to_string(j.conditions, ' AND ') || ')'
            )
            or (j.found and starts_with(j.check_text, '(' || t.test || ' AND ')
              and j.check_text !~ ' OR ')
        ) or (j.operation = 'insert' and j.conditions <> '{}' and j.check_text = any(j.tests))
        then 'lets through more than what is declared: with check ' || j.check_text
      end end
    )
  ) as x (problem)
  where x.problem is not null
)
select
  p.table_name as subject,
  format('policy "%%s" on %%s %%s', p.polname, p.table_name, p.problem) as finding,
  'compare it with the migration; drop it if it is nobody''s' as next_step
from problem as p
union all
select
  d.name,
  format('%%s policies on %%s for %%s, where one is due', count(p.polname), d.name, o.operation),
  'compare pg_policies with the migration'
from declared as d
cross join unnest(d.operations) as o (operation)
left join policy as p on p.table_name = d.name and p.operation = o.operation
where not d.found
group by d.name, o.operation
having count(p.polname) <> 1
