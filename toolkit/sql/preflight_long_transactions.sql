-- Transactions older than a minute: a phase that waits for their locks fails, a concurrent index
-- build waits for every one of them. Statements are left out, since they may hold secrets.
select
  case
    when exists (
      select from pg_catalog.pg_locks as k
      where k.pid = a.pid and k.granted and k.database = a.datid
        and k.relation in (
          to_regclass('public.electricity_readings'), to_regclass('public.token_events'),
          to_regclass('public.recalculation_batches'), to_regclass('public.user_profiles')
        )
    ) then 'fail'
    else 'warn'
  end as severity,
  format('pid %%s', a.pid) as subject,
  format('pid %%s (%%s of %%s, %%s) has had a transaction open for %%s seconds', a.pid,
    coalesce(nullif(a.application_name, ''), 'nameless'), coalesce(a.usename, '?'),
    coalesce(a.state, '?'), extract(epoch from clock_timestamp() - a.xact_start)::bigint)
    as finding,
  format('wait for it, or end it: select pg_terminate_backend(%%s);', a.pid) as next_step,
  extract(epoch from clock_timestamp() - a.xact_start)::bigint as amount
from pg_catalog.pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid()
  and a.backend_type = 'client backend'
  and a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
union all
select
  'warn',
  'other roles',
  format('%%s sessions belong to roles whose transactions %%s may not see', count(*), current_user),
  format('grant pg_read_all_stats to %%I; or look at them as somebody who may', current_user),
  count(*)
from pg_catalog.pg_stat_activity as a
where a.datname = current_database() and a.query = '<insufficient privilege>'
  and a.usesysid is not null -- an autovacuum worker has nobody's name
having count(*) > 0
