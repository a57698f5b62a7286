-- The materialized view without its plain unique index, without which no refresh runs beside its
-- readers, or never filled.
select
  'electricity_readings_mv has lost its unique index: it cannot be refreshed beside readers'
    as finding,
  'create unique index electricity_readings_mv_key on public.electricity_readings_mv (user_id, id);'
    as repair,
  true as safe
from pg_class as c
where c.oid = to_regclass('public.electricity_readings_mv') and c.relkind = 'm'
  and not exists (
    select from pg_index as i
    where i.indrelid = c.oid and i.indisunique and i.indpred is null and i.indexprs is null
  )
union all
select
  'electricity_readings_mv is not populated: nothing can be read from it' as finding,
  'refresh materialized view public.electricity_readings_mv;' as repair,
  true as safe
from pg_class as c
where c.oid = to_regclass('public.electricity_readings_mv') and c.relkind = 'm'
  and not c.relispopulated
