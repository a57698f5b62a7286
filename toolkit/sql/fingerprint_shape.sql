-- What the rollout began with: the tables that it found, the type of the legacy date, whether that
-- table allows one reading a day, and the newest of our versions in the CLI's history. And whether
-- that table is archived by now.
select
  coalesce((
    select jsonb_agg(f.object_name order by f.object_name)
    from ledger.found_objects as f
    where f.origin = 'found'
  ), '[]') as found,
  coalesce((
    select format_type(a.atttypid, null)
    from pg_attribute as a
    where a.attrelid in (
        to_regclass('ledger.readings'), to_regclass('public.electricity_readings')
      )
      and a.attname = 'date' and not a.attisdropped
    order by a.attrelid = to_regclass('ledger.readings') desc
    limit 1
  ), 'date') as date_type,
  (
    select count(*) > 0
    from pg_index as i
    where i.indrelid = coalesce(
        to_regclass('ledger.electricity_readings_archive'),
        to_regclass('public.electricity_readings')
      )
      and i.indisunique and i.indpred is null and i.indnkeyatts = 2
      and (
        select array_agg(a.attname::text order by a.attname)
        from pg_attribute as a
        where a.attrelid = i.indrelid and a.attnum = any(i.indkey::smallint[])
      ) = array['date', 'user_id']
  ) as unique_days,
  to_regclass('ledger.electricity_readings_archive') is not null as cut_over,
  (
    select max(h.version) from supabase_migrations.schema_migrations as h
    where h.version = any(%(versions)s)
  ) as newest
