-- Where the platform's own objects carry the proof: auth.uid() must read nothing but the token's
-- subject, and API roles must not read users, statistics or files, nor follow private tables.
select
  'auth.uid()' as subject,
  format('auth.uid() reads %%s: who somebody is must come from the token''s subject alone', w.word)
    as finding,
  'compare auth.uid() with a new project''s; only its owner can have replaced it' as next_step
from pg_catalog.pg_proc as p
cross join lateral regexp_matches(p.prosrc, '''([^'']*)''', 'g') as m (words)
cross join lateral (select m.words[1] as word) as w -- noqa: ST05
where p.oid = to_regprocedure('auth.uid()')
  and w.word not in ('', 'sub', 'request.jwt.claim.sub', 'request.jwt.claims')
union all
select
  'auth.uid()',
  'auth.uid() does not read the token''s subject',
  'compare auth.uid() with a new project''s'
from pg_catalog.pg_proc as p
where p.oid = to_regprocedure('auth.uid()') and p.prosrc !~ 'request\.jwt\.claim'
union all
select
  t.name,
  format('%%s can read %%s', r.name, t.name),
  format('revoke all on %%s from %%I, public;', t.name, r.name)
from unnest(%(roles)s::text[]) as r (name)
cross join unnest(array[
  'auth.users', 'pg_catalog.pg_statistic', 'pg_catalog.pg_authid'
]) as t (name)
where to_regclass(t.name) is not null
  and (
    has_table_privilege(r.name, t.name, 'select')
    or has_any_column_privilege(r.name, t.name, 'select')
  )
  and not (
    t.name = 'pg_catalog.pg_statistic'
    and not has_table_privilege(r.name, t.name, 'select')
  )
union all
select
  f.name,
  format('%%s can call %%s', r.name, f.name),
  format('revoke execute on function %%s from %%I, public;', f.name, r.name)
from unnest(%(roles)s::text[]) as r (name)
cross join unnest(array[
  'pg_catalog.pg_read_file(text)', 'pg_catalog.pg_read_binary_file(text)',
  'pg_catalog.pg_ls_dir(text)', 'pg_catalog.lo_export(oid,text)', 'pg_catalog.lo_import(text)'
]) as f (name)
where to_regprocedure(f.name) is not null and has_function_privilege(r.name, f.name, 'execute')
union all
select
  p.schemaname || '.' || p.tablename,
  format('publication %%s sends %%s.%%s, which is private', p.pubname, p.schemaname, p.tablename),
  format('alter publication %%I drop table %%I.%%I;', p.pubname, p.schemaname, p.tablename)
from pg_catalog.pg_publication_tables as p
where p.schemaname = any(%(proven)s) and p.schemaname <> all(%(exposed)s)
