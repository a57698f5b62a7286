-- What of a legacy row can be corrected: its columns but the key and what the database computes.
select a.attname
from pg_catalog.pg_attribute as a
where a.attrelid = to_regclass('public.electricity_readings')
  and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attname <> 'id'
order by a.attnum
