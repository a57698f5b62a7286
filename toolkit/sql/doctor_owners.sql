-- Objects that another role owns than the one that owns most of ledger, and an owner that row level
-- security binds: a refresh by either would silently leave rows out.
with
objects as (
  select
    case c.relkind
      when 'v' then 'view'
      when 'm' then 'materialized view'
      when 'S' then 'sequence'
      else 'table'
    end as kind,
    c.oid::regclass::text as name,
    c.relowner as owner,
    c.relnamespace
  from pg_class as c
  where c.relkind in ('r', 'p', 'v', 'm')
    and (
      c.relnamespace = to_regnamespace('ledger')
      or c.oid in (
        to_regclass('public.token_events'), to_regclass('public.recalculation_batches'),
        to_regclass('public.electricity_readings_v'),
        to_regclass('public.electricity_readings_mv')
      )
    )
  union all
  select 'function' as kind, p.oid::regprocedure::text as name, p.proowner as owner, p.pronamespace
  from pg_proc as p
  where p.pronamespace = to_regnamespace('ledger')
    or p.oid in (
      to_regprocedure('public.refresh_readings_mv()'),
      to_regprocedure('public.calculate_user_positions(uuid)')
    )
),
usual as (
  select o.owner
  from objects as o
  where o.relnamespace = to_regnamespace('ledger')
  group by o.owner
  order by count(*) desc, o.owner
  limit 1
)
select
  format('%s %s belongs to %s, and the ledger to %s', o.kind, o.name, o.owner::regrole,
    u.owner::regrole) as finding,
  format('alter %s %s owner to %s;', o.kind, o.name, u.owner::regrole) as repair,
  pg_has_role(o.owner, 'member') and pg_has_role(u.owner, 'member') as safe
from objects as o
cross join usual as u
where o.owner <> u.owner
union all
select
  format('%s owns the ledger and is bound by row level security: rows would be missed',
    r.rolname) as finding,
  format('alter role %I bypassrls;', r.rolname) as repair,
  false as safe
from usual as u
inner join pg_roles as r on r.oid = u.owner
where not r.rolbypassrls and not r.rolsuper
order by finding
