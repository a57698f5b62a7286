-- Tables of ours on which row level security is off. Switching it on is safe where there are
-- policies, or nobody but the owner is to see anything; else it would shut the app out.
select
  format('row level security is off on %s', c.oid::regclass) as finding,
  format('alter table %s enable row level security;', c.oid::regclass) as repair,
  c.relnamespace = to_regnamespace('ledger')
  or exists (select from pg_policy as p where p.polrelid = c.oid) as safe
from pg_class as c
where c.relkind in ('r', 'p') and not c.relrowsecurity
  and (
    c.relnamespace = to_regnamespace('ledger')
    or c.oid in (
      to_regclass('public.token_events'), to_regclass('public.recalculation_batches'),
      to_regclass('public.electricity_readings'), to_regclass('public.user_profiles')
    )
  )
order by 1
