-- What a rollback set aside about readings that have moved again, and nothing has applied.
select count(*) as left_rows
from ledger.unsettled as u
where not u.is_pending
