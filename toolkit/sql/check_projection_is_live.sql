-- The projection against the live computation, both ways: of %(users)s, or of everybody where that
-- is null.
with
live as (
  select
    coalesce(e.reading_id, p.event_id) as id, p.user_id,
    ledger.reading_date(p.event_date, (select ledger.time_zone())) as date,
    p.calculated_position as kwh_value,
    p.token_cost, p.notes, p.meter_photo_url, p.created_at,
    case when p.is_topup then p.kwh_amount else e.legacy_token_amount end as token_amount
  from (
    select distinct w.user_id
    from public.token_events as w
    where %(users)s::uuid[] is null or w.user_id = any(%(users)s::uuid[])
  ) as u
  cross join lateral public.calculate_user_positions(u.user_id) as p
  inner join public.token_events as e on e.user_id = p.user_id and e.id = p.event_id
),
projected as (
  select
    r.id, r.user_id, r.date, r.kwh_value, r.token_cost, r.notes, r.meter_photo_url, r.created_at,
    r.token_amount
  from ledger.readings as r
  where %(users)s::uuid[] is null or r.user_id = any(%(users)s::uuid[])
),
missing as (
  select * from live
  except all
  select * from projected
),
surplus as (
  select * from projected
  except all
  select * from live
)
select m.user_id, m.id as row_id, 'the projection lacks this row of the events' as finding
from missing as m
union all
select s.user_id, s.id as row_id, 'the projection holds what the events do not say' as finding
from surplus as s
