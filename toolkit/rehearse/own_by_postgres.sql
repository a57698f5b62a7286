-- Purpose: give the restored objects to postgres, who owns an application's objects on
--          Supabase and runs its migrations; the restore itself ran as the superuser.
-- Objects: schemas but Supabase's own, the relations, routines, types and statistics in
--          them, and publications; not what belongs to an extension, nor sequences that
--          follow their table, nor publications for all tables, which only a superuser owns.
-- Locks:   access exclusive on each, in one transaction.
-- Setting: meterledger.managed_schemas, a comma-separated list of the schemas to leave.

do $own$
declare
  command text;
begin
  for command in
    with schemas as (
      select oid, nspname, nspowner
      from pg_catalog.pg_namespace
      where nspname !~ '^pg_' and nspname <> 'information_schema'
        and nspname <> all (string_to_array(current_setting('meterledger.managed_schemas'), ','))
    ),

    members as (
      select classid, objid
      from pg_catalog.pg_depend
      where deptype = 'e'
    ),

    followers as (
      select objid
      from pg_catalog.pg_depend
      where classid = 'pg_catalog.pg_class'::regclass
        and refclassid = 'pg_catalog.pg_class'::regclass
        and deptype in ('a', 'i') and refobjsubid > 0
    ),

    objects (classid, objid, owner, command) as (
      select 'pg_catalog.pg_namespace'::regclass, oid, nspowner, format('schema %I', nspname)
      from schemas
      where nspname <> 'public'
      union all
      select
        'pg_catalog.pg_class'::regclass, pg_class.oid, relowner,
        format(
          '%s %I.%I',
          case relkind
            when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
            when 'c' then 'type' else 'table'
          end,
          nspname, relname
        )
      from pg_catalog.pg_class
      inner join schemas on schemas.oid = relnamespace
      where relkind in ('r', 'p', 'v', 'm', 'S', 'c')
        and not (relkind = 'S' and pg_class.oid in (select objid from followers))
      union all
      select
        'pg_catalog.pg_proc'::regclass, pg_proc.oid, proowner,
        format('routine %s', pg_proc.oid::regprocedure)
      from pg_catalog.pg_proc
      inner join schemas on schemas.oid = pronamespace
      union all
      select
        'pg_catalog.pg_type'::regclass, pg_type.oid, typowner, format('type %I.%I', nspname, typname)
      from pg_catalog.pg_type
      inner join schemas on schemas.oid = typnamespace
      where typtype in ('e', 'd', 'r')
      union all
      select
        'pg_catalog.pg_statistic_ext'::regclass, pg_statistic_ext.oid, stxowner,
        format('statistics %I.%I', nspname, stxname)
      from pg_catalog.pg_statistic_ext
      inner join schemas on schemas.oid = stxnamespace
      union all
      select
        'pg_catalog.pg_publication'::regclass, pg_publication.oid, pubowner,
        format('publication %I', pubname)
      from pg_catalog.pg_publication
      where not puballtables
    )

    select format('alter %s owner to postgres', objects.command)
    from objects
    where owner <> 'postgres'::regrole
      and (classid, objid) not in (select classid, objid from members)
  loop
    execute command;
  end loop;
end
$own$;
