-- Prepared transactions that nobody has ended and that hold locks on our tables or our lock names:
-- they outlive every session and every restart. Its locks are those of the virtual transaction that
-- holds the lock on its number, with no process any more.
select
  format('prepared transaction %s of %s, since %s, holds locks on %s', p.gid, p.owner, p.prepared,
    string_agg(distinct coalesce(l.relation::regclass::text, 'a lock of meterledger'), ', '))
    as finding,
  format('rollback prepared %L;', p.gid) as repair,
  false as safe
from pg_prepared_xacts as p
inner join pg_locks as x
  on x.locktype = 'transactionid' and x.transactionid = p.transaction and x.granted
    and x.mode = 'ExclusiveLock' and x.pid is null
inner join pg_locks as l on l.virtualtransaction = x.virtualtransaction and l.pid is null
left join pg_class as c on c.oid = l.relation
where p.database = current_database()
  and (
    c.relnamespace = to_regnamespace('ledger')
    or c.oid in (
      to_regclass('public.token_events'), to_regclass('public.recalculation_batches'),
      to_regclass('public.electricity_readings'), to_regclass('public.user_profiles'),
      to_regclass('public.electricity_readings_mv')
    )
    or (
      l.locktype = 'advisory'
      and (l.classid::bigint << 32) | l.objid::bigint in (
        hashtextextended('meterledger.deploy', 0), hashtextextended('meterledger.backfill', 0),
        hashtextextended('meterledger.refresh_readings_mv', 0)
      )
    )
  )
group by p.gid, p.owner, p.prepared
order by p.prepared
