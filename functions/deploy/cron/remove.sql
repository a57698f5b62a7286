-- Removes what install.sql scheduled; harmless where nothing is.
select cron.unschedule(j.jobid)
from cron.job as j
where j.jobname like 'meterledger %';
