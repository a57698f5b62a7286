-- What the scheduled work says of itself; ages are by the database's clock alone.
select
  h.healthy,
  h.problems,
  h.refresh,
  h.last_refresh_at,
  h.seconds_since_refresh,
  h.seconds_since_refresh_run,
  h.last_refresh_outcome,
  h.changed_since_refresh,
  h.last_audit_at,
  h.seconds_since_audit,
  h.last_audit_users,
  h.last_audit_differences,
  h.waiting_for_audit,
  h.differences_open,
  h.differences_24h
from jsonb_to_record(public.ledger_health()) as h (
  healthy boolean,
  problems text[],
  refresh text,
  last_refresh_at timestamptz,
  seconds_since_refresh double precision,
  seconds_since_refresh_run double precision,
  last_refresh_outcome text,
  changed_since_refresh bigint,
  last_audit_at timestamptz,
  seconds_since_audit double precision,
  last_audit_users bigint,
  last_audit_differences bigint,
  waiting_for_audit bigint,
  differences_open bigint,
  differences_24h bigint
)
