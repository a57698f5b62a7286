-- How far each sequence has counted; 0 for one that was never used. Columns: name, value.
select
  format('%%I.%%I', s.schemaname, s.sequencename) as name,
  coalesce(s.last_value, 0) as value
from pg_catalog.pg_sequences as s
where s.schemaname = any(%(proven)s)
order by 1
