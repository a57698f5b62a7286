-- What clients had said about migrated events before a rollback, and no migration applied again.
select
  u.user_id,
  u.reading_id as row_id,
  format('%%s, set aside at %%s: %%s', u.kind, u.set_aside_at, u.reason) as finding
from ledger.unsettled as u
where not u.is_pending
order by u.user_id, u.reading_id, u.set_aside_id
