-- Reads some legacy rows with the profile that owns each, as the migration does, for the time that
-- it takes; any rows will do.
select count(*), sum(length(to_jsonb(s)::text))
from (
  select r.*, p.id as profile_id
  from public.electricity_readings as r
  left join public.user_profiles as p on p.id = r.user_id
  limit %(limit)s -- noqa: AM09
) as s
