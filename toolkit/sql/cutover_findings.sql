-- What stands in the way of a cutover, what it moves, and what its operator must know.
select f.topic, f.verdict, f.subject, f.finding, f.next_step
from ledger.cutover_findings() as f
union all
select
  'validation', 'refuse', 'electricity_readings',
  format('%s readings do not come back as they are in the table', count(*)),
  'meterledger validate lists them'
from ledger.migration_differences()
having count(*) > 0
