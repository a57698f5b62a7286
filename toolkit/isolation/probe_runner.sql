-- Purpose: runs one probe: a few statements, each as whoever the step names, then takes everything
--   back, and says how the last one ended. One round trip a probe, and an error ends the probe
--   alone. Lives in the session's temporary schema, inside the proof's transaction.
-- Objects: pg_temp.meterledger_probe(jsonb), pg_temp.meterledger_tell(anyelement, text)
create function pg_temp.meterledger_probe(p_steps jsonb)
returns jsonb
language plpgsql
volatile
security invoker
as $probe$
declare
  v_step jsonb;
  v_number int := 0;
  v_value text;
  v_rows bigint;
  v_state text;
  v_message text;
  v_detail text;
begin
  begin
    for v_step in
      select s.value
      from pg_catalog.jsonb_array_elements(p_steps) with ordinality as s (value, number)
      order by s.number
    loop
      v_number := v_number + 1;
      perform pg_catalog.set_config('role', v_step ->> 'role', true),
        pg_catalog.set_config('request.jwt.claims', v_step ->> 'claims', true);
      v_value := null;
      if (v_step ->> 'returns')::boolean then
        execute v_step ->> 'sql' into v_value;
      else
        execute v_step ->> 'sql';
        get diagnostics v_rows = row_count;
        v_value := v_rows::text;
      end if;
    end loop;
    -- The way out that also takes back what was written, and who we were.
    raise exception using errcode = 'ML900', message = coalesce(v_value, '');
  exception
    when others or query_canceled then
      get stacked diagnostics
        v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
  end;
  return pg_catalog.jsonb_build_object(
    'state', case v_state when 'ML900' then '00000' else v_state end,
    'value', case v_state when 'ML900' then v_message end,
    'step', v_number,
    'message', case v_state when 'ML900' then '' else v_message || ' ' || v_detail end
  );
end;
$probe$;

-- An attacker's function: costs nothing, so that the planner tries it before any filter that does
-- not stop it, and remembers whose rows it was shown: its caller's own, or another's. It takes the
-- column as it is: a cast in the call would cost more than the filter that it is to come before.
create function pg_temp.meterledger_tell(p_seen anyelement, p_own text)
returns boolean
language plpgsql
immutable
cost 0.0000001
security invoker
as $tell$
begin
  perform pg_catalog.set_config(
    case p_seen::text when p_own then 'meterledger.saw_own' else 'meterledger.saw_other' end, 'yes', true
  );
  return true;
end;
$tell$;
