-- A standby and a session that may only read cannot be migrated.
select
  'fail' as severity,
  'recovery' as subject,
  'this server is a standby: it replays another one and takes no writes' as finding,
  'connect to the primary' as next_step,
  1::bigint as amount
where pg_is_in_recovery()
union all
select
  'fail',
  s.name,
  format('%s is %s by default for this role, database or server', s.name, s.reset_val),
  'a hosted database does that when its disk is full: make room first; otherwise: '
  || format('alter role %I reset default_transaction_read_only;', session_user),
  1
from pg_catalog.pg_settings as s
where s.name = 'default_transaction_read_only' and s.reset_val = 'on'
