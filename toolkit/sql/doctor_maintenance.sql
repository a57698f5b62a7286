-- Rows of ledger.maintenance live no longer than their transaction. One that others can see belongs
-- to a transaction that has ended.
select
  format(
    'ledger.maintenance still names transaction %s (%s), which has ended', m.xact_id, m.purpose
  ) as finding,
  format('delete from ledger.maintenance where xact_id = %L;', m.xact_id) as repair,
  true as safe
from ledger.maintenance as m
where m.xact_id <> coalesce(pg_current_xact_id_if_assigned(), '0')
order by m.xact_id
