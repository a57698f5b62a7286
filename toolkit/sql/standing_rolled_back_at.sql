-- When phases were last rolled back, unless something was deployed after that: null then.
select
  case
    when max((d.details ->> 'rolled_back_at')::timestamptz) > max(d.deployed_at)
      then max((d.details ->> 'rolled_back_at')::timestamptz)
  end as rolled_back_at
from ledger.deployments as d
