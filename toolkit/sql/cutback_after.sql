-- After a cutback: rows of the table that do not come back from their events.
select d.user_id, d.reading_id, d.problem, count(*) over () as differences
from ledger.migration_differences() as d
order by d.user_id, d.reading_id
limit %(limit)s
