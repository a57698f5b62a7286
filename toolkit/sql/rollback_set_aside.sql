-- What undoing the data migration would set aside, counted as ledger.undo_data_migration() does it.
with recursive
doomed as (
  select l.user_id, l.event_id as id from ledger.migrated_readings as l where not l.completed
  union
  select v.user_id, v.id
  from doomed as d
  inner join public.token_events as v
    on v.user_id = d.user_id and v.void_of_event = d.id and v.event_type = 'VOID'
),
made as (
  select l.user_id, l.event_id, l.sync_voided
  from ledger.migrated_readings as l
  where not l.completed
)
select
  (
    select count(*) from public.token_events as v
    where v.event_type = 'VOID'
      and exists (select from doomed as d where d.user_id = v.user_id and d.id = v.id)
  ) + (
    select count(*) from public.token_events as e
    where e.event_type <> 'VOID'
      and exists (select from doomed as d where d.user_id = e.user_id and d.id = e.void_of_event)
  ) + (
    select count(*) from public.recalculation_batches as b
    where exists (
      select from made as m where m.user_id = b.user_id and m.event_id = b.trigger_event_id
    )
  ) + (
    select count(*) from made as m
    inner join public.token_events as e on e.user_id = m.user_id and e.id = m.event_id
    where e.is_voided and not m.sync_voided
  ) + (
    select count(*) from made as m
    inner join public.token_events as e on e.user_id = m.user_id and e.id = m.event_id
    where e.recalc_batch_id is not null
  ) as set_aside
