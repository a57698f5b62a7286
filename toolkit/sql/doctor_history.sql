-- Which of the objects that the phase files make are there, and which versions the CLI's history
-- names. %(made)s: [{version, kind, name, table or empty}]; one row a version.
with
made as (
  select m.version, m.kind, m.name, m.table_name
  from jsonb_to_recordset(%(made)s::jsonb) as m (
    version text, kind text, name text, table_name text
  )
),
found as (
  select
    m.version,
    m.kind || ' ' || m.name || case m.table_name
      when '' then ''
      else ' on ' || m.table_name
    end as object,
    case m.kind
      when 'function' then exists (
        select from pg_proc as p
        inner join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname || '.' || p.proname = m.name
      )
      when 'type' then to_regtype(m.name) is not null
      when 'trigger' then exists (
        select from pg_trigger as t
        where t.tgname = m.name
          -- While a view has the legacy table's name, its triggers are on the archived one.
          and t.tgrelid in (
            to_regclass(m.table_name),
            case m.table_name
              when 'public.electricity_readings'
              then to_regclass('ledger.electricity_readings_archive')
            end
          )
      )
      when 'constraint' then exists (
        select from pg_constraint as k
        where k.conrelid = to_regclass(m.table_name) and k.conname = m.name
      )
      when 'index' then coalesce(
        to_regclass(m.name),
        case m.table_name
          when 'public.electricity_readings'
          then to_regclass(replace(m.name, 'public.', 'ledger.'))
        end
      ) is not null
      else to_regclass(m.name) is not null
    end as there
  from made as m
)
select
  f.version,
  count(*) filter (where f.there) as there,
  coalesce(array_agg(f.object order by f.object) filter (where not f.there), '{}') as missing
from found as f
group by f.version
