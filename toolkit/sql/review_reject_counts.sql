-- Rejected legacy rows by reason: how many are to be decided, how many were waived.
select
  x.reason,
  count(*) filter (where x.waived_at is null) as open_rows,
  count(*) filter (where x.waived_at is not null) as waived_rows
from ledger.migration_rejects as x
group by x.reason
order by open_rows desc, x.reason asc
