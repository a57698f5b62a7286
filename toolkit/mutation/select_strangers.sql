-- Of pairs of roles, those in which the first does not get what the second may.
with asked as (
  select %(roles)s::text[] as role_names
)

select
  r.role_name,
  o.role_name as other_name
from unnest((select q.role_names from asked as q)) as r (role_name)
cross join unnest((select q.role_names from asked as q)) as o (role_name)
where r.role_name <> o.role_name
  and not pg_catalog.pg_has_role(r.role_name, o.role_name, 'member')
  and not pg_catalog.pg_has_role(o.role_name, r.role_name, 'member')
order by r.role_name, o.role_name
