-- The newest deployments of phase files.
select d.version, d.name, d.checksum, d.deployed_by, d.deployed_at
from ledger.deployments as d
order by d.deployment_id desc
limit %(limit)s
