-- The CLI's sessions since a moment: for how long each waits for a lock, and for whom.
with
wanted as (
  select
    %(names)s::text[] as names,
    %(since)s::timestamptz as since
)
select
  a.pid,
  extract(epoch from clock_timestamp() - w.since)::double precision as seconds,
  w.wanted,
  b.pid as blocker,
  coalesce(nullif(b.application_name, ''), 'unnamed') as blocker_name,
  b.usename::text as blocker_role,
  b.state as blocker_state,
  coalesce(b.xact_start, b.backend_start) as blocker_since
from wanted as g
inner join pg_catalog.pg_stat_activity as a
  on a.application_name = any(g.names) and a.backend_start >= g.since
left join lateral (
  select
    min(l.waitstart) as since,
    min(l.relation::regclass::text) as wanted
  from pg_catalog.pg_locks as l
  where l.pid = a.pid and not l.granted
) as w on true
left join lateral (
  -- Only while it waits: the function stops the lock manager for a moment.
  select p.pid
  from unnest(
    case when w.since is null then '{}'::integer[] else pg_blocking_pids(a.pid) end
  ) as p (pid)
) as p on true
left join pg_catalog.pg_stat_activity as b on b.pid = p.pid
where a.datname = current_database()
order by a.pid, b.pid
