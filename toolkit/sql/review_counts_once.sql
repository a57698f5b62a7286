-- Whether the readings that clients see hold the survivor and not the event that it absorbed.
select
  exists (
    select from ledger.readings as v
    where v.user_id = e.user_id and v.id = %(reading_id)s::uuid
  )
  and not exists (
    select from ledger.readings as v
    where v.user_id = e.user_id and v.id = coalesce(e.reading_id, e.id)
  )
from public.token_events as e
where e.user_id = %(user_id)s::uuid and e.id = %(event_id)s::uuid and e.is_voided
