-- Rejects, to be decided and waived. As jsonb, for a database without the columns of a waiver.
select
  count(*) filter (where to_jsonb(x) ->> 'waived_at' is null) as open_rows,
  count(*) filter (where to_jsonb(x) ->> 'waived_at' is not null) as waived_rows
from ledger.migration_rejects as x
