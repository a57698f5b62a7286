-- The user with the most legacy rows: these are one batch, however many, forwards and backwards.
select r.user_id, count(*) as legacy_rows
from public.electricity_readings as r
where r.user_id is not null
group by r.user_id
order by count(*) desc, r.user_id
limit 1
