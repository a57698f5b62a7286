-- The proof of losslessness: the legacy rows that are not rejected and whose event nobody voided
-- since, and the view's rows of those events, are the same multiset, both ways. The differences
-- that are allowed: a row without created_at shows the instant of its date; a row that a cutback
-- copied from its event was rounded to the table's numbers, which ledger.migration_differences()
-- judges. Until everything was moved (%(moved)s), of the rows that are migrated. Of %(users)s, or
-- of everybody where it is null.
with
standing as (
  select l.user_id, l.reading_id
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where not l.superseded and not e.is_voided and not l.copied
    and (%(users)s::uuid[] is null or l.user_id = any(%(users)s::uuid[]))
),
legacy as (
  select
    r.id, r.user_id, r.date, r.kwh_value, r.token_cost, r.token_amount, r.notes,
    r.meter_photo_url,
    -- Looked up one by one: rows without it are few.
    coalesce(r.created_at, (
      select m.created_at from ledger.mapped_readings as m where m.reading_id = r.id
    )) as created_at
  from public.electricity_readings as r
  where (%(users)s::uuid[] is null or r.user_id = any(%(users)s::uuid[]))
    and not exists (select from ledger.migration_rejects as x where x.reading_id = r.id)
    and (%(moved)s or exists (
      select from ledger.migrated_readings as l
      where l.user_id = r.user_id and l.reading_id = r.id and not l.superseded
    ))
    and not exists (
      select from ledger.migrated_readings as l
      inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
      where l.user_id = r.user_id and l.reading_id = r.id and not l.superseded
        and (e.is_voided or l.copied)
    )
),
shown as (
  select
    v.id, v.user_id, v.date, v.kwh_value, v.token_cost, v.token_amount, v.notes,
    v.meter_photo_url, v.created_at
  from public.electricity_readings_v as v
  inner join standing as s on s.user_id = v.user_id and s.reading_id = v.id
),
lost as (
  select * from legacy
  except all
  select * from shown
),
invented as (
  select * from shown
  except all
  select * from legacy
)
select l.user_id, l.id as row_id, 'the view does not give this legacy row back' as finding
from lost as l
union all
select i.user_id, i.id as row_id, 'the view shows what the legacy table does not hold' as finding
from invented as i
union all
select d.user_id, d.reading_id as row_id, 'copied by a cutback: ' || d.problem as finding
from (
  select array_agg((l.user_id, l.reading_id)::text) as keys
  from ledger.migrated_readings as l
  where l.copied and not l.superseded
    and (%(users)s::uuid[] is null or l.user_id = any(%(users)s::uuid[]))
  having count(*) > 0 -- no cutback, no second look at everything
) as c
cross join lateral ledger.migration_differences() as d
where (d.user_id, d.reading_id)::text = any(c.keys)
