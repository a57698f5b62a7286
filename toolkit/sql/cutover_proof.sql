-- After the switch, in one snapshot: rows under the old name, rows of the projection, and rows of
-- the archived table.
select
  (select count(*) from public.electricity_readings) as shown,
  (select count(*) from ledger.readings) as projected,
  (select count(*) from ledger.electricity_readings_archive) as archived
