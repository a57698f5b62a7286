"""What a database holds, as comparable lines: objects, keys, policies, grants and rows."""

from __future__ import annotations

from tests.support.database import Database
from tests.support.rollout import table_texts

# One line an object, in words that do not depend on oids or on the order of creation.
_OBJECTS = """
select format('schema %s', n.nspname)
from pg_namespace as n
where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'supabase_migrations')
union all
select format(
  '%s %s%s, rls %s', replace(replace(c.relkind::text, 'r', 'table'), 'v', 'view'),
  c.oid::regclass, coalesce(' with ' || c.reloptions::text, ''), c.relrowsecurity
)
from pg_class as c
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm', 'S', 'f', 'p')
union all
select format(
  'column %s.%s %s%s%s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
  case when a.attnotnull then ' not null' else '' end,
  coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
)
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm')
  and a.attnum > 0 and not a.attisdropped
union all
select format(
  'constraint %s on %s: %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid)
)
from pg_constraint as k
where k.connamespace = 'public'::regnamespace
  and k.contype <> 'n' -- not null, which the columns tell
union all
select format('ledger holds %s', c.oid::regclass)
from pg_class as c where c.relnamespace = to_regnamespace('ledger')
union all
select format('ledger holds %s', p.oid::regprocedure)
from pg_proc as p where p.pronamespace = to_regnamespace('ledger')
union all
select format('index %s', i.indexdef) from pg_indexes as i where i.schemaname = 'public'
union all
select format('policy %s', to_jsonb(p)) from pg_policies as p where p.schemaname = 'public'
union all
select format('trigger %s', pg_get_triggerdef(t.oid))
from pg_trigger as t
inner join pg_class as c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace in ('public'::regnamespace, 'auth'::regnamespace)
union all
select format('function %s, grants %s', p.oid::regprocedure, (
  select array_agg(g::text order by g::text)
  from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) as g
))
from pg_proc as p where p.pronamespace = 'public'::regnamespace
union all
select format('grants on %s: %s', c.oid::regclass, (
  select array_agg(g::text order by g::text)
  from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) as g
))
from pg_class as c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'm')
union all
select format('grants on column %s.%s: %s', a.attrelid::regclass, a.attname, a.attacl)
from pg_attribute as a
inner join pg_class as c on c.oid = a.attrelid
where c.relnamespace = 'public'::regnamespace and a.attacl <> '{}'
"""


def objects(database: Database) -> set[str]:
    """Schemas, and everything in public: columns, keys, indexes, policies, triggers, grants."""
    return {str(row[0]) for row in database.rows(_OBJECTS)}


def contents(database: Database) -> dict[str, list[str]]:
    """The rows of every table in public, as text, sorted."""
    with database.connect() as connection:
        names = connection.execute(
            "select c.relname from pg_class as c"
            " where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'"
        ).fetchall()
        return {str(row[0]): table_texts(connection, "public", str(row[0])) for row in names}
