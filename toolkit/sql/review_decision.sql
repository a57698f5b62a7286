-- What was decided about a pair, and whether the event counts still.
select m.user_id, e.is_voided, r.decision
from ledger.mapped_readings as m
inner join public.token_events as e on e.user_id = m.user_id and e.id = %(event_id)s::uuid
left join ledger.reviewed_matches as r
  on r.user_id = e.user_id and r.event_id = e.id and r.reading_id = m.reading_id
where m.reading_id = %(reading_id)s::uuid
