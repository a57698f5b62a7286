-- Beside the merges of the data migration: so a rollback un-voids the event, and a client that
-- voids it later voids its survivor.
insert into ledger."merges" (user_id, event_id, reading_id, survivor_id)
values (
  %(user_id)s::uuid, %(event_id)s::uuid, %(reading_id)s::uuid, %(survivor_id)s::uuid
)
