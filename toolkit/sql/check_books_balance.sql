-- Legacy rows that are not exactly one of migrated and rejected, entries without their row, and
-- facts that count twice. Rows that wait for a backfill which has not moved everything (%(moved)s)
-- are check_backfill's.
select d.user_id, d.reading_id as row_id, d.problem as finding
from ledger.migration_differences() as d
where d.problem in (
    'neither migrated nor rejected', 'both migrated and rejected', 'its event is missing',
    'migrated or rejected, but not in electricity_readings'
  )
  and (%(moved)s or d.problem <> 'neither migrated nor rejected')
union all
select l.user_id, l.reading_id as row_id, format('%%s events stand for it', count(*)) as finding
from ledger.migrated_readings as l
where not l.superseded
group by l.user_id, l.reading_id
having count(*) > 1
union all
select
  g.user_id,
  g.event_id as row_id,
  format('merged into %%s, and counts again beside it', g.reading_id) as finding
from ledger."merges" as g
inner join public.token_events as e on e.user_id = g.user_id and e.id = g.event_id
where not e.is_voided
