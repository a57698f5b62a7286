-- Verifies: migrations/20261101000401_migrate_data.sql; raises ML005 unless it holds. Before the
--   first finished run since the last undoing (a deferred backfill) there is nothing to hold yet.
do $$
declare
  v_count bigint;
begin
  if not exists (
    select from ledger.migration_runs as m
    where m.kind = 'migrate' and m.finished_at is not null
      and m.run_id > coalesce((
        select max(u.run_id) from ledger.migration_runs as u where u.kind = 'undo'
      ), 0)
  ) then
    return;
  end if;
  select count(*) into v_count from ledger.migration_differences();
  if v_count > 0 then
    raise exception '% legacy rows do not come back as they were', v_count
      using errcode = 'ML005', hint = 'select * from ledger.migration_differences();';
  end if;
end;
$$;
