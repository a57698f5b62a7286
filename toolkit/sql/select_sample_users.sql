-- A sample of users that is the same every time: spread over all of them by a hash of the id.
select u.user_id
from (
  select e.user_id from public.token_events as e
  union
  select r.user_id from public.electricity_readings as r
  where r.user_id is not null
) as u
order by md5(u.user_id::text), u.user_id
limit %(limit)s
