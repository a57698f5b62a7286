-- The columns that token_events and electricity_readings had when the rollout's views spelled them
-- out: before those that the phases added, and, of the legacy table, those that the view over it
-- has. After the cutover that table is the archived one.
with
columns as (
  select
    case c.relname
      when 'token_events' then 'public.token_events'
      else 'public.electricity_readings'
    end as table_name,
    a.attname as column_name,
    a.attnum,
    format_type(a.atttypid, a.atttypmod) as type_name
  from pg_attribute as a
  inner join pg_class as c on c.oid = a.attrelid
  where c.oid in (
      to_regclass('public.token_events'), to_regclass('public.electricity_readings'),
      to_regclass('ledger.electricity_readings_archive')
    )
    and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
)
select c.table_name, c.column_name, c.type_name
from columns as c
where c.attnum < all(
    select o.attnum from columns as o
    where o.table_name = c.table_name
      and o.table_name || '.' || o.column_name = any(%(added)s)
  )
  and (
    c.table_name <> 'public.electricity_readings'
    or c.column_name = any(%(known)s)
    or exists (
      select from pg_attribute as v
      where v.attrelid = to_regclass('ledger.pending_readings') and v.attname = c.column_name
        and not v.attisdropped
    )
  )
order by c.table_name, c.attnum
