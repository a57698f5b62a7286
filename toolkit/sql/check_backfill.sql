-- Legacy rows that wait for the backfill, until it has moved everything (%(moved)s).
select p.user_id, p.id as row_id, 'waits for the backfill' as finding
from ledger.pending_readings as p
where not %(moved)s
