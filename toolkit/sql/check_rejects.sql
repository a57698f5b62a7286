-- Legacy rows that cannot become an event, with their reasons.
select x.user_id, x.reading_id as row_id, x.reason as finding
from ledger.migration_rejects as x
order by x.reason, x.reading_id
