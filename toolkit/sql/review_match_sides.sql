-- Both sides of a near match, whole, the reading as the event that it maps to; the values as text,
-- which keeps them exact.
with
sides as (
  select to_jsonb(e) as event_row, to_jsonb(m) as reading_row
  from public.token_events as e
  inner join ledger.mapped_readings as m
    on m.user_id = e.user_id and m.reading_id = %(reading_id)s::uuid
  where e.user_id = %(user_id)s::uuid and e.id = %(event_id)s::uuid
)
select
  (select jsonb_object_agg(c.key, c.value) from jsonb_each_text(s.event_row) as c) as event_text,
  (
    select jsonb_object_agg(c.key, c.value) from jsonb_each_text(s.reading_row) as c
  ) as reading_text
from sides as s
