-- Locks of deploy, backfill and refresh whose holder has been idle in its transaction for longer
-- than %(idle_seconds)s seconds, or idle altogether while nobody else of its role works here.
with
keys as (
  select k.name, hashtextextended(k.name, 0) as key
  from unnest(array[
    'meterledger.deploy', 'meterledger.backfill', 'meterledger.refresh_readings_mv'
  ]) as k (name)
),
held as (
  select k.name, l.pid
  from pg_locks as l
  inner join keys as k on (l.classid::bigint << 32) | l.objid::bigint = k.key
  where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select d.oid from pg_database as d where d.datname = current_database())
)
select
  format('the lock %%s is held by process %%s (%%s), %%s for %%s seconds', h.name, h.pid,
    coalesce(nullif(a.application_name, ''), 'nameless'), coalesce(a.state, 'gone'),
    coalesce(round(extract(epoch from clock_timestamp() - a.state_change))::text, 'unknown'))
    as finding,
  format('select pg_terminate_backend(%%s);', h.pid) as repair,
  false as safe
from held as h
left join pg_stat_activity as a on a.pid = h.pid
where h.pid is not null and h.pid <> pg_backend_pid()
  and (
    a.pid is null
    or (
      a.state like 'idle%%'
      and a.state_change < clock_timestamp() - %(idle_seconds)s * interval '1 second'
      and (
        a.state <> 'idle'
        -- A guard's session is idle while the program that it guards works in another one.
        or not exists (
          select from pg_stat_activity as w
          where w.datname = current_database() and w.pid not in (h.pid, pg_backend_pid())
            and w.usename = a.usename
            and (
              w.state <> 'idle'
              or w.state_change >= clock_timestamp() - %(idle_seconds)s * interval '1 second'
            )
        )
      )
    )
  )
order by finding
