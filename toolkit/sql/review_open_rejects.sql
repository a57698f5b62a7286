-- Rejects that nobody decided about. As jsonb, for a database without the columns of a waiver.
select count(*)
from ledger.migration_rejects as x
where to_jsonb(x) ->> 'waived_at' is null
