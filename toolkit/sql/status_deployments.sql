-- The newest deployments of phase files; one that is still on its way is none yet.
select
  d.version, d.name, d.checksum, d.deployed_by, d.deployed_at,
  (d.details ->> 'rolled_back_at')::timestamptz as rolled_back_at
from ledger.deployments as d
where not d.details ? 'unfinished'
order by d.deployment_id desc
limit %(limit)s
