-- Rejected legacy rows, those to be decided first; the values as text, which keeps them exact.
select
  x.reading_id,
  x.user_id,
  x.reason,
  x.rejected_at,
  x.waived_at,
  x.waived_by,
  x.waived_reason,
  (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(x.row_data) as c) as row_text
from ledger.migration_rejects as x
where (%(reading_ids)s::uuid[] is null or x.reading_id in (select unnest(%(reading_ids)s::uuid[])))
  and (%(reason)s::text is null or x.reason = %(reason)s::text)
order by x.waived_at nulls first, x.reason, x.reading_id
limit %(limit)s
