-- Optional: Supabase Cron (pg_cron) runs the scheduled work in the database itself, no server at
--   all. Run it as postgres; again after a change: jobs are replaced by name. No webhook is called
--   from here, so let a monitor watch public.ledger_health(), or the handler `health`.
--   Removed by remove.sql. The database keeps the handlers' functions: nothing else is installed.
create extension if not exists pg_cron;

select cron.schedule(
  'meterledger refresh_readings', '3 * * * *',
  $$select public.refresh_readings('pg_cron')$$
);
select cron.schedule(
  'meterledger verify_readings', '13 * * * *',
  $$select public.audit_readings('pg_cron', 30000)$$
);
select cron.schedule(
  'meterledger prune', '43 3 * * *',
  $$select public.prune_ledger()$$
);
-- What pg_cron keeps of its own runs grows without end.
select cron.schedule(
  'meterledger prune pg_cron', '53 3 * * *',
  $$delete from cron.job_run_details as d
    using cron.job as j
    where j.jobid = d.jobid and j.jobname like 'meterledger %'
      and d.end_time < now() - interval '30 days'$$
);
