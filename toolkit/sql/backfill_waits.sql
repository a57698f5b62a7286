-- Sessions that wait for row and table locks of the given session, and who that session waits for.
with
waiting as (
  select distinct l.pid
  from pg_locks as l
  where not l.granted and l.locktype <> 'advisory'
)
select
  (
    select count(*)
    from waiting as w
    where w.pid <> %(pid)s and %(pid)s = any(pg_blocking_pids(w.pid))
  ) as waiting_for_us,
  (
    select string_agg(
      format('%%s (%%s, pid %%s)', coalesce(nullif(a.application_name, ''), 'a session'),
        coalesce(a.usename::text, 'unknown user'), b.pid), ', ' order by b.pid
    )
    from unnest(pg_blocking_pids(%(pid)s)) as b (pid)
    left join pg_stat_activity as a on a.pid = b.pid
  ) as we_wait_for
