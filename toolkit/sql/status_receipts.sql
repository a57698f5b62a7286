-- The newest receipts; whether their signatures hold is not looked at here.
select
  r.environment,
  r.made_at,
  r.made_by,
  coalesce(r.body #> '{validation,valid}' = 'true', false) as valid,
  coalesce(r.body #> '{isolation,isolated}' = 'true', false) as isolated,
  case jsonb_typeof(r.body #> '{validation,differences}')
    when 'number' then (r.body #>> '{validation,differences}')::numeric::bigint
  end as differences,
  coalesce(r.body #> '{validation,pending}' > '0', false) as pending,
  coalesce(r.body ->> 'git_commit', '') as git_commit
from ledger.receipts as r
order by r.receipt_id desc
limit %(limit)s
