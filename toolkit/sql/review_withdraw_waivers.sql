-- These rows are to be decided again.
update ledger.migration_rejects as x
set waived_at = null, waived_by = null, waived_reason = null
where x.waived_at is not null
  and (%(reading_ids)s::uuid[] is null or x.reading_id in (select unnest(%(reading_ids)s::uuid[])))
  and (%(reason)s::text is null or x.reason = %(reason)s::text)
returning x.reading_id
