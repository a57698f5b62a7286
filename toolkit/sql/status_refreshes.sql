-- The newest refreshes of the materialized view, and what the audit after one found.
select
  r.started_at,
  r.finished_at,
  r.outcome,
  r.trigger_source,
  r.mv_rows,
  extract(epoch from r.finished_at - r.started_at)::double precision as seconds,
  case
    when jsonb_typeof(r.details -> 'differences') = 'number'
    then (r.details ->> 'differences')::numeric::bigint
    when jsonb_typeof(r.details #> '{audit,differences}') = 'number'
    then (r.details #>> '{audit,differences}')::numeric::bigint
  end as differences
from ledger.refresh_log as r
order by r.refresh_id desc
limit %(limit)s
