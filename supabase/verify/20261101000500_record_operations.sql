-- Verifies: migrations/20261101000500_record_operations.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'ledger.receipts', 'ledger.reviewed_matches', 'ledger.open_matches'
  ]) as n (name)
  where to_regclass(n.name) is null;
  if v_list is not null then
    raise exception 'the operators'' record is incomplete, missing: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
  select string_agg(n.table_name || '.' || n.column_name, ', ') into v_list
  from (values
    ('ledger.migration_rejects', 'waived_at'), ('ledger.migration_rejects', 'waived_by'), ('ledger.migration_rejects', 'waived_reason')
  ) as n (table_name, column_name)
  where not exists (
    select from pg_attribute as a
    where a.attrelid = to_regclass(n.table_name) and a.attname = n.column_name
      and not a.attisdropped
  );
  if v_list is not null then
    raise exception 'columns of the operators'' record are missing: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
  select string_agg(format('%s on %s', r.role_name, t.name), ', ') into v_list
  from unnest(array['anon', 'authenticated', 'service_role']) as r (role_name)
  cross join unnest(array[
    'ledger.receipts', 'ledger.reviewed_matches', 'ledger.open_matches'
  ]) as t (name)
  where has_table_privilege(
    r.role_name, t.name, 'select, insert, update, delete, truncate, references, trigger'
  );
  if v_list is not null then
    raise exception 'an API role holds a grant that it must not have: %', v_list
      using errcode = 'ML005', hint = 'revoke all on … from …;';
  end if;
end;
$$;
