-- Events that would be there after the data migration is undone, and of these, what was written
-- since it began and the ids that several users share.
with recursive
doomed as (
  select l.user_id, l.event_id as id from ledger.migrated_readings as l where not l.completed
  union
  select v.user_id, v.id
  from doomed as d
  inner join public.token_events as v
    on v.user_id = d.user_id and v.void_of_event = d.id and v.event_type = 'VOID'
),
staying as (
  select e.user_id, e.id, e.created_at
  from public.token_events as e
  where not exists (select from doomed as d where d.user_id = e.user_id and d.id = e.id)
)
select
  (select count(*) from staying) as events,
  (
    select count(*) from staying as s
    where s.created_at >= (
      select min(m.started_at) from ledger.migration_runs as m where m.kind = 'migrate'
    )
  ) as written_since,
  (
    select count(*)
    from (select s.id from staying as s group by s.id having count(*) > 1) as x
  ) as shared_ids
