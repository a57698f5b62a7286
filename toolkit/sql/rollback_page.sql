-- The next users whose readings were migrated, in the order of their ids, and how many entries each
-- has in the list that undoing goes by.
select l.user_id, count(*) as listed_rows
from ledger.migrated_readings as l
where %(after)s::uuid is null or l.user_id > %(after)s::uuid
group by l.user_id
order by l.user_id
limit %(users)s
