-- Profiles that say something which auth.users does not, as the rollback of phase 0 judges it.
select count(*)
from public.user_profiles as p
where (p.display_name, p.last_login) is distinct from (null::text, null::timestamptz)
  or (p.role, p.status) is distinct from ('user', 'active')
  or p.tariff_settings is distinct from '{"rate": 1444.70, "currency": "IDR"}'
