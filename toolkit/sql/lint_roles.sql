-- What the API's roles are, and whom they belong to: a role that passes row level security by, or
-- a membership in one that may more, opens everything without a grant on any table.
select
  r.rolname::text as subject,
  format('role %%s %%s', r.rolname, x.problem) as finding,
  x.next_step
from pg_catalog.pg_roles as r
cross join lateral (
  values
  (
    case when r.rolbypassrls and r.rolname <> 'service_role'
    then 'passes row level security by' end,
    format('alter role %%I nobypassrls;', r.rolname)
  ),
  (
    case when r.rolsuper then 'is a superuser' end,
    format('alter role %%I nosuperuser;', r.rolname)
  ),
  (
    case when r.rolreplication then 'may replicate, and so read everything' end,
    format('alter role %%I noreplication;', r.rolname)
  ),
  (
    case when r.rolcanlogin and r.rolname <> 'authenticator' then 'may log in by itself' end,
    format('alter role %%I nologin;', r.rolname)
  ),
  (
    case when r.rolcreaterole or r.rolcreatedb then 'may create roles or databases' end,
    format('alter role %%I nocreaterole nocreatedb;', r.rolname)
  )
) as x (problem, next_step)
where r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
  and x.problem is not null
union all
select
  m.rolname::text,
  format('role %%s is a member of %%s', m.rolname, g.rolname),
  format('revoke %%I from %%I;', g.rolname, m.rolname)
from pg_catalog.pg_auth_members as a
inner join pg_catalog.pg_roles as m on m.oid = a.member
inner join pg_catalog.pg_roles as g on g.oid = a.roleid
where m.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
  -- The REST server's login becomes one of the three, and by inheriting nothing is none of them.
  and not (
    m.rolname = 'authenticator' and not m.rolinherit
    and g.rolname in ('anon', 'authenticated', 'service_role')
  )
