-- Legacy rows that are neither migrated nor rejected yet.
select count(*)
from ledger.pending_readings
