-- Events that point where the new keys let nothing point: phase 1 stops at the first ones, and
-- validates that each event belongs to a profile.
select
  'fail' as severity,
  'void_of_event' as subject,
  format('%s events point with void_of_event at no event of the same user: %s', count(*),
    (array_to_string((array_agg(e.id order by e.user_id, e.id))[1:5], ', '))) as finding,
  'set void_of_event to null on these rows, or correct it' as next_step,
  count(*) as amount
from public.token_events as e
where e.void_of_event is not null
  and not exists (
    select from public.token_events as t where t.user_id = e.user_id and t.id = e.void_of_event
  )
having count(*) > 0
union all
select
  'fail',
  'user_id',
  format('%s events belong to no profile: %s', count(*),
    (array_to_string((array_agg(e.id order by e.user_id, e.id))[1:5], ', '))),
  'give the users their profiles back, or remove these events',
  count(*)
from public.token_events as e
where not exists (select from public.user_profiles as p where p.id = e.user_id)
having count(*) > 0
