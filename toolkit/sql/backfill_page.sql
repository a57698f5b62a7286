-- The next users who have pending rows, in the order of their ids, and how many each has.
select r.user_id, count(*) as pending_rows
from ledger.pending_readings as r
where %(after)s::uuid is null or r.user_id > %(after)s::uuid
group by r.user_id
having r.user_id is not null
order by r.user_id
limit %(users)s
