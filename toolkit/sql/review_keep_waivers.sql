-- A retry writes the reject anew; where the reason is the same, so is what was decided about it.
update ledger.migration_rejects as x
set waived_at = w.waived_at, waived_by = w.waived_by, waived_reason = w.waived_reason
from (
  select
    unnest(%(reading_ids)s::uuid[]) as reading_id, unnest(%(reasons)s::text[]) as reason,
    unnest(%(instants)s::timestamptz[]) as waived_at, unnest(%(deciders)s::text[]) as waived_by,
    unnest(%(grounds)s::text[]) as waived_reason
) as w
where x.reading_id = w.reading_id and x.reason = w.reason
