-- Where to count the rows that pushing the data phase would move: is the legacy table a table, are
-- the lists there that say what has moved already, and are there settings, which may defer it.
select
  exists(
    select from pg_class as c
    where c.oid = to_regclass('public.electricity_readings') and c.relkind in ('r', 'p')
  ) as has_legacy,
  to_regclass('ledger.pending_readings') is not null as has_lists,
  to_regclass('ledger.settings') is not null as has_settings
