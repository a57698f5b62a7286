-- Settings of this role and database that a phase would stumble over.
select
  w.severity,
  s.name as subject,
  format('%s is %s for this role: %s', s.name, s.reset_val, w.finding) as finding,
  w.next_step,
  1::bigint as amount
from (
  values
  (
    'warn', 'wal_level', array['minimal'],
    'nothing can be restored to a point in time, or replicated',
    'set wal_level to replica or higher before the rollout, and restart'
  ),
  (
    'fail', 'session_replication_role', array['replica', 'local'],
    'triggers would not fire, and legacy writes would not become events',
    'alter role … reset session_replication_role;'
  ),
  (
    'warn', 'default_transaction_isolation', array['serializable', 'repeatable read'],
    'phases beside running writers may fail with 40001 and must then be pushed again',
    'alter role … reset default_transaction_isolation;'
  )
) as w (severity, name, bad, finding, next_step)
inner join pg_catalog.pg_settings as s on s.name = w.name and s.reset_val = any(w.bad)
union all
select
  'warn',
  s.name,
  format(
    '%s is %s ms for this role: %s', s.name, s.reset_val,
    case s.name
      when 'lock_timeout' then 'a lock that is waited for longer ends the deploy'
      else 'an index build or a fill that takes longer is cut off'
    end
  ),
  format('for the rollout: PGOPTIONS="-c %s=0", or alter role … set %s = 0;', s.name, s.name),
  s.reset_val::bigint
from pg_catalog.pg_settings as s
where s.vartype = 'integer'
  and (
    (s.name = 'statement_timeout' and s.reset_val::bigint between 1 and 599999)
    or (s.name = 'transaction_timeout' and s.reset_val::bigint between 1 and 3599999)
    or (s.name = 'lock_timeout' and s.reset_val::bigint between 1 and 999)
  )
