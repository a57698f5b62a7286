-- Events that almost state a reading's fact: a person decides whether they are one.
select
  n.user_id,
  n.event_id as row_id,
  format(
    '%%s of %%s kWh on %%s, beside reading %%s of %%s kWh on %%s',
    n.event_type, n.event_kwh, n.event_day, n.reading_id, n.reading_kwh, n.reading_day
  ) as finding
from ledger.near_matches as n
order by n.user_id, n.event_day, n.event_id
