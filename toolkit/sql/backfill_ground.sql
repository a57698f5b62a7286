-- What a backfill stands on: does this role own the ledger (null: there is none), and is the legacy
-- table still a table. Reads the catalog alone, which every role may.
select
  (
    select pg_has_role(c.relowner, 'usage')
    from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'ledger' and c.relname = 'settings'
  ) as is_owner,
  exists(
    select from pg_class as c
    inner join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relname = 'electricity_readings' and c.relkind in ('r', 'p')
  ) as is_table
