-- Phases whose newest deployment was rolled back, and when. Columns: version, rolled_back_at.
with
newest as (
  select distinct on (d.version) d.version, d.details
  from ledger.deployments as d
  order by d.version, d.deployment_id desc
)

select
  n.version,
  (n.details ->> 'rolled_back_at')::timestamptz as rolled_back_at
from newest as n
where n.details ? 'rolled_back_at'
