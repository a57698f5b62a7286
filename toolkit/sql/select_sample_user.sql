-- A user with a typical amount of readings: the median one.
select r.user_id
from ledger.readings as r
group by r.user_id
order by count(*), r.user_id
limit 1 offset (select count(distinct o.user_id) / 2 from ledger.readings as o)
