-- Rows of the archived table and of the view that are not the same, among users who are merged and
-- have written nothing since. Rows that the table cannot take are the plan's, not this one's.
with
merged as (
  select m.user_id
  from ledger.cutback_marks as m
  inner join ledger.heads as h on h.user_id = m.user_id and h.version = m.version
  where m.obstacles = 0
)
select count(*)
from (
  select
    v.id, v.user_id, v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes, v.meter_photo_url
  from public.electricity_readings as v
  inner join merged as m on m.user_id = v.user_id
) as v
full join (
  select
    a.id, a.user_id, a.date, a.kwh_value, a.token_amount, a.token_cost, a.notes, a.meter_photo_url
  from ledger.electricity_readings_archive as a
  inner join merged as m on m.user_id = a.user_id
  where not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
) as a on v.user_id = a.user_id and v.id = a.id
where v is distinct from a
