-- As the forward sync does it: a row that no event ever stood for is migrated as the data migration
-- would have done, a later version of a known one as what was just written.
select ledger.migrate_readings(array_agg(x.reading_id), null, x.known)
from (
  select
    r.reading_id,
    (
      select count(*) > 0 from ledger.migrated_readings as l
      where l.user_id = r.user_id and l.reading_id = r.reading_id
    ) as known
  from ledger.migration_rejects as r
  where r.reading_id in (select unnest(%(reading_ids)s::uuid[]))
) as x
group by x.known
