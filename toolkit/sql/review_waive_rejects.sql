-- A person decides that these rows need not become events; a second time changes nothing.
update ledger.migration_rejects as x
set waived_at = now(), waived_by = coalesce(%(decider)s::text, session_user),
  waived_reason = %(because)s::text
where x.waived_at is null
  and (%(reading_ids)s::uuid[] is null or x.reading_id in (select unnest(%(reading_ids)s::uuid[])))
  and (%(reason)s::text is null or x.reason = %(reason)s::text)
returning x.reading_id
