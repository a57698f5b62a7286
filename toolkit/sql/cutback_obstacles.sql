-- Readings that the archived table could not take back, and why; with the number of all of them.
select
  o.user_id, o.reading_id, string_agg(distinct o.problem, ', ') as problems,
  count(*) over () as readings
from ledger.archive_obstacles() as o
group by o.user_id, o.reading_id
order by o.user_id, o.reading_id
limit %(limit)s
