-- The newest audits of the projection by the scheduled work.
select
  a.finished_at as at,
  a.trigger_source,
  a.users,
  a.differences,
  a.unrepaired
from ledger.audits as a
where a.finished_at is not null
order by a.audit_id desc
limit %(limit)s
