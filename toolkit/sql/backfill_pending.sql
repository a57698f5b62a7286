-- Where the backfill stands: rows that still wait, their users, and all rows there are.
select
  count(*) as pending_rows,
  count(distinct r.user_id) as pending_users,
  (select count(*) from public.electricity_readings) as legacy_rows,
  count(*) filter (where r.user_id is null) as ownerless_rows
from ledger.pending_readings as r
