-- A person may decide again; the last word counts.
insert into ledger.reviewed_matches as r (
  user_id, event_id, reading_id, decision, reason, decided_by
)
values (
  %(user_id)s::uuid, %(event_id)s::uuid, %(reading_id)s::uuid, %(decision)s::text,
  %(because)s::text, coalesce(%(decider)s::text, session_user)
)
on conflict (user_id, event_id, reading_id) do update
set decision = excluded.decision, reason = excluded.reason, decided_by = excluded.decided_by,
  decided_at = now()
