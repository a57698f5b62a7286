-- Reverses: migrations/20261101000602_install_cutover.sql. While electricity_readings is a view it
--   stops (ML006): cut back first. The record of cutovers is set aside, whole.
-- Locks: access exclusive on electricity_readings, to drop a trigger
set local lock_timeout = '5s';

do $$
begin
  if to_regclass('ledger.electricity_readings_archive') is not null then
    raise exception 'meterledger: electricity_readings is a view, and its table is archived'
      using errcode = 'ML006', detail = 'Next: meterledger cutback, then roll back.';
  end if;
  if to_regclass('ledger.cutovers') is not null then
    insert into ledger.set_aside (kind, reason, row_data)
    select 'cutover', 'the cutover was uninstalled', to_jsonb(c) from ledger.cutovers as c;
  end if;
end;
$$;

drop trigger if exists electricity_readings_sync_copied on public.electricity_readings;
do $$
begin
  -- Of a cutback.
  if to_regprocedure('ledger.drop_embeddings()') is not null then
    perform ledger.drop_embeddings();
  end if;
end;
$$;

drop function if exists ledger.contract();
drop function if exists ledger.cut_back(bigint);
drop function if exists ledger.prepare_cutback(int);
drop function if exists ledger.merge_into_archive(uuid[]);
drop function if exists ledger.archive_obstacles(uuid[]);
drop function if exists ledger.cut_over(text[]);
drop function if exists ledger.create_embeddings();
drop function if exists ledger.drop_embeddings();
drop function if exists ledger.embeddings();
drop function if exists ledger.create_readings_view();
drop function if exists ledger.require_cutover(jsonb, text[]);
drop function if exists ledger.cutover_findings();
drop function if exists ledger.cutover_obstacles();
drop function if exists ledger.repoint_views(jsonb);
drop function if exists ledger.dependent_views(regclass);
drop function if exists ledger.take_grants(regclass);
drop function if exists ledger.give_grants(regclass, jsonb);
drop function if exists ledger.relation_grants(regclass);
drop function if exists ledger.sync_copied();
drop table if exists ledger.cutback_marks;
drop table if exists ledger.cutovers;
