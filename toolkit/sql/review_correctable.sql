-- Why an update of the legacy table would not reach the events; null where it would.
select case
  when not exists (
    select from pg_catalog.pg_class as c
    where c.oid = to_regclass('public.electricity_readings') and c.relkind = 'r'
  )
  then 'electricity_readings is no table any more'
  when not exists (
    select from pg_catalog.pg_trigger as t
    where t.tgrelid = to_regclass('public.electricity_readings')
      and t.tgname = 'electricity_readings_sync_updates' and t.tgenabled in ('O', 'A')
  )
  then 'the forward sync of updates is missing or switched off'
  when not exists (select from ledger.settings as s where s.time_zone is not null)
  then 'the app''s time zone is not confirmed'
end as problem
