-- What a cutover stands on: is it installed, does this role own the ledger, and what is
-- electricity_readings (null: nothing; v: a view). Reads the catalog alone, which every role may.
select
  to_regprocedure('ledger.cut_over(text[])') is not null as installed,
  coalesce(
    (
      select pg_has_role(c.relowner, 'usage') from pg_class as c
      where c.oid = to_regclass('ledger.settings')
    ), true
  ) as is_owner,
  (
    select c.relkind::text from pg_class as c
    where c.oid = to_regclass('public.electricity_readings')
  ) as kind,
  to_regclass('ledger.electricity_readings_archive') is not null as is_archived
