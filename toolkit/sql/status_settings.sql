-- What operators decided; as jsonb, for a database without the later columns.
select
  s.time_zone, to_jsonb(s) ->> 'environment' as environment,
  s.defer_backfill
from ledger.settings as s
