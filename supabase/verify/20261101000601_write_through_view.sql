-- Verifies: migrations/20261101000601_write_through_view.sql; raises ML005 unless it holds.
do $$
declare
  v_list text;
begin
  select string_agg(n.name, ', ') into v_list
  from unnest(array[
    'ledger.refuse_reading(text, text, text, text, text)', 'ledger.check_reading(jsonb)',
    'ledger.check_owner(uuid)',
    'ledger.check_unique_reading(jsonb, uuid)', 'ledger.refuse_taken_id(uuid)', 'ledger.reading_as_event(ledger.readings)',
    'ledger.record_reading(public.token_events, uuid, text)',
    'ledger.remove_reading(uuid, uuid, text)', 'ledger.check_reading_rights()',
    'ledger.insert_reading()', 'ledger.update_reading()',
    'ledger.change_reading(ledger.readings, ledger.readings)', 'ledger.is_cut_over()', 'ledger.delete_reading()'
  ]) as n (name)
  where to_regprocedure(n.name) is null;
  if v_list is not null then
    raise exception 'functions of the writes through the view are missing: %', v_list
      using errcode = 'ML005', hint = 'Push the migrations again.';
  end if;
end;
$$;
