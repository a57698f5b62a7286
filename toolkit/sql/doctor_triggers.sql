-- Triggers of ours, and the foreign keys of our tables, that are switched off. The sync of the
-- archived table is off for as long as a view has its name.
select
  case
    when o.name is null then format('the foreign keys of %s are switched off', o.relation)
    else format('trigger %I of %s is switched off', o.name, o.relation)
  end as finding,
  case
    when o.name is null then format('alter table %s enable trigger all;', o.relation)
    else format('alter table %s enable trigger %I;', o.relation, o.name)
  end as repair,
  o.name is not null as safe
from (
  select distinct
    t.tgrelid::regclass as relation,
    case when not t.tgisinternal then t.tgname end as name
  from pg_trigger as t
  inner join pg_class as c on c.oid = t.tgrelid
  inner join pg_proc as p on p.oid = t.tgfoid
  where t.tgenabled <> 'O'
    and not (
      c.oid = to_regclass('ledger.electricity_readings_archive')
      and t.tgname like 'electricity\_readings\_sync\_%'
    )
    and case
      when t.tgisinternal
      then c.relnamespace = to_regnamespace('ledger') or c.oid in (
        to_regclass('public.token_events'), to_regclass('public.recalculation_batches')
      )
      else p.pronamespace = to_regnamespace('ledger') or t.tgname = 'create_user_profile'
    end
) as o
order by 1
