-- The rollout needs no extension but plpgsql. Those that lay tables out in ways of their own
-- were never tried.
select
  'fail' as severity,
  'plpgsql' as subject,
  'the language plpgsql is not installed, and the phases are written in it' as finding,
  'create extension plpgsql;' as next_step,
  1::bigint as amount
where not exists (select from pg_catalog.pg_extension as e where e.extname = 'plpgsql')
union all
select
  'warn',
  e.extname::text,
  format('extension %s is installed, and the rollout was never tried beside it', e.extname),
  'rehearse on a copy first',
  1
from pg_catalog.pg_extension as e
where e.extname in ('citus', 'timescaledb', 'pgl_ddl_deploy', 'pglogical', 'bdr')
