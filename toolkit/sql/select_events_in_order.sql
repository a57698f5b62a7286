-- Every event in the order of the position algebra, with what the projection shows for it. Dates
-- are seconds since 1970, since Python's calendar ends with the year 9999. Of %(users)s, or of
-- everybody where that is null.
select
  e.user_id,
  e.id,
  e.reading_id,
  e.event_type,
  extract(epoch from e.event_date),
  extract(epoch from e.created_at),
  e.kwh_amount,
  e.observed_kwh,
  e.is_voided,
  r.kwh_value
from public.token_events as e
left join ledger.readings as r
  on r.user_id = e.user_id and r.id = coalesce(e.reading_id, e.id)
    and not e.is_voided and e.event_type <> 'VOID'
where %(users)s::uuid[] is null or e.user_id = any(%(users)s::uuid[])
order by e.user_id, e.event_date, e.created_at, e.id
