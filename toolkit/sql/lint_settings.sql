-- Settings that decide who a request is, kept with a role or the database, where no grant shows.
select
  coalesce(r.rolname::text, 'database') as subject,
  format(
    '%%s is set for %%s: it decides who a request is, or what guards it',
    split_part(s.setting, '=', 1), coalesce('role ' || r.rolname, 'everybody in this database')
  ) as finding,
  'alter role … reset …; or alter database … reset …;' as next_step
from pg_catalog.pg_db_role_setting as d
left join pg_catalog.pg_roles as r on r.oid = d.setrole
left join pg_catalog.pg_database as b on b.oid = d.setdatabase
cross join unnest(d.setconfig) as s (setting)
where (d.setrole = 0 or r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator'))
  and (d.setdatabase = 0 or b.datname = current_database())
  and split_part(s.setting, '=', 1) ~* (
    '^(request\.|role$|session_authorization$|session_replication_role$|row_security$|'
    || 'pgrst\.(db_anon_role|jwt_role_claim_key|db_pre_request|db_root_spec|db_schemas|'
    || 'db_extra_search_path|jwt_secret|jwt_aud)$)'
  )
union all
select
  'parameter ' || a.parname,
  format('%%s may %%s the parameter %%s',
    case g.grantee when 0 then 'everybody' else g.grantee::pg_catalog.regrole::text end,
    lower(g.privilege_type), a.parname),
  format('revoke %%s on parameter %%s from …;', lower(g.privilege_type), a.parname)
from pg_catalog.pg_parameter_acl as a
cross join aclexplode(a.paracl) as g
left join pg_catalog.pg_roles as r on r.oid = g.grantee
where g.grantee = 0 or r.rolname in ('anon', 'authenticated', 'service_role', 'authenticator')
