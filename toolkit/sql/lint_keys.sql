-- Keys between tenants: every unique index and every foreign key of a table that knows users
-- carries the user, or one user's rows tell of another's. Random surrogate keys of the private
-- tables (identity columns) tell nobody anything, since nobody can write there.
with
declared as (
  select d.name, d.owner, d.keys
  from pg_catalog.jsonb_to_recordset(%(declared)s) as d (
    name text, kind text, owner text, keys text
  )
  where d.kind in ('table', 'materialized view')
),
tenant as (
  select c.oid, n.nspname || '.' || c.relname as name, a.attnum, coalesce(d.keys, '') as keys
  from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  left join declared as d on d.name = n.nspname || '.' || c.relname
  inner join pg_catalog.pg_attribute as a
    on a.attrelid = c.oid and a.attname = coalesce(nullif(d.owner, ''), 'user_id')
    and not a.attisdropped
  where n.nspname = any(%(proven)s) and c.relkind in ('r', 'p', 'm')
)
select
  t.name as subject,
  format('unique index %%s on %%s does not carry the user: one user''s key is refused to another',
    i.indexrelid::pg_catalog.regclass, t.name) as finding,
  'put the user''s column in front of the key' as next_step
from tenant as t
inner join pg_catalog.pg_index as i on i.indrelid = t.oid
where (i.indisunique or i.indisexclusion)
  -- The key itself; what an index includes beside it does not tell rows apart.
  and not t.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
  and not (i.indisprimary and t.keys <> '')
union all
select
  t.name,
  format('foreign key %%s on %%s does not carry the user: it tells whether another''s row exists',
    f.conname, t.name),
  'reference (user_id, …)'
from tenant as t
inner join pg_catalog.pg_constraint as f on f.conrelid = t.oid and f.contype = 'f'
inner join tenant as o on o.oid = f.confrelid and o.keys = ''
where t.keys = '' and not (t.attnum = any(f.conkey) and o.attnum = any(f.confkey))
union all
-- What must be unique for each user, wherever the declaration knows the table.
select
  'public.token_events',
  format('nothing keeps %%s unique for each user of public.token_events', k.what),
  'push the phases again'
from (
  values
  ('the id', array['user_id', 'id']),
  ('the visible id', array['user_id', 'coalesce(reading_id, id)']),
  ('the idempotency key', array['user_id', 'idempotency_key']),
  ('the VOID event of a target', array['user_id', 'void_of_event'])
) as k (what, columns)
where exists (select from declared as d where d.name = 'public.token_events')
  and not exists (
    select from pg_catalog.pg_index as i
    where i.indrelid = to_regclass('public.token_events') and i.indisunique and i.indisvalid
      and (
        select array_agg(lower(pg_get_indexdef(i.indexrelid, s.n, true)) order by s.n)
        from generate_series(1, i.indnkeyatts) as s (n)
      ) = k.columns
  )
union all
select
  'public.token_events',
  'nothing holds void_of_event to an event of the same user',
  'push the phases again'
where exists (select from declared as d where d.name = 'public.token_events')
  and not exists (
    select from pg_catalog.pg_constraint as f
    where f.conrelid = to_regclass('public.token_events') and f.confrelid = f.conrelid
      and f.contype = 'f'
      and (
        select array_agg(a.attname::text order by k.nth)
        from unnest(f.conkey) with ordinality as k (attnum, nth)
        inner join pg_catalog.pg_attribute as a on a.attrelid = f.conrelid and a.attnum = k.attnum
      ) = array['user_id', 'void_of_event']
  )
union all
select
  d.name,
  format('no plain unique index on %%s carries the user and the id, so it cannot be refreshed '
    'beside its readers', d.name),
  'create unique index … (user_id, id);'
from declared as d
where d.name = 'public.electricity_readings_mv'
  and not exists (
    select from pg_catalog.pg_index as i
    where i.indrelid = to_regclass(d.name) and i.indisunique and i.indisvalid
      and i.indpred is null and i.indexprs is null and i.indnkeyatts = 2
  )
