-- Purpose: the switch of electricity_readings from table to view and back. The functions are only
--   installed here: `meterledger cutover`, `cutback` and `contract` call them.
-- Objects: ledger.cutovers, ledger.cutback_marks; ledger.relation_grants(),
--   ledger.give_grants(), ledger.take_grants(), ledger.dependent_views(), ledger.repoint_views(),
--   ledger.cutover_obstacles(), ledger.cutover_findings(), ledger.require_cutover(),
--   ledger.embeddings(), ledger.drop_embeddings(), ledger.create_readings_view(),
--   ledger.create_embeddings(),
--   ledger.cut_over(), ledger.archive_obstacles(),
--   ledger.merge_into_archive(), ledger.prepare_cutback(), ledger.cut_back(), ledger.contract(),
--   ledger.sync_copied() and its trigger
-- Locks: share row exclusive on electricity_readings, to create the trigger
-- Rollback: rollbacks/20261101000602_install_cutover.sql
set local lock_timeout = '5s';

create table if not exists ledger.cutovers (
  cutover_id bigint generated always as identity primary key,
  cut_over_at timestamptz not null default clock_timestamp(),
  cut_over_by text not null default session_user,
  acknowledged text[] not null default '{}',
  table_grants jsonb not null,
  cut_back_at timestamptz,
  cut_back_by text,
  set_aside bigint not null default 0,
  contracted_at timestamptz,
  contracted_by text
);
comment on table ledger.cutovers is
  'Each time that electricity_readings became a view, what was acknowledged, and when it became '
  'the table again';
comment on column ledger.cutovers.table_grants is
  'The grants of the table, which its archive does not carry and a cutback gives back';
comment on column ledger.cutovers.set_aside is
  'Readings that the table could not take back at the cutback';

create table if not exists ledger.cutback_marks (
  user_id uuid primary key,
  version bigint not null,
  obstacles bigint not null default 0
);
comment on table ledger.cutback_marks is
  'Whose readings a coming cutback has merged into the archived table already, and as of which '
  'version';
comment on column ledger.cutback_marks.obstacles is
  'How many of the user''s readings the archived table could not take back then';
alter table ledger.cutovers enable row level security;
alter table ledger.cutback_marks enable row level security;
revoke all on table ledger.cutovers, ledger.cutback_marks
from public, anon, authenticated, service_role;
revoke all on sequence ledger.cutovers_cutover_id_seq
from public, anon, authenticated, service_role;

create or replace function ledger.relation_grants(p_relation regclass)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_agg(to_jsonb(g) order by g.grantee, g.privilege, g.columns), '[]')
  from (
    select
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end
        as grantee,
      lower(a.privilege_type) as privilege,
      null::text as columns,
      a.is_grantable as grantable
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.oid = relation_grants.p_relation and a.grantee <> c.relowner
    union all
    select
      case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end,
      lower(a.privilege_type),
      string_agg(quote_ident(t.attname), ', ' order by t.attnum),
      a.is_grantable
    from pg_attribute as t
    inner join pg_class as c on c.oid = t.attrelid
    cross join lateral aclexplode(t.attacl) as a
    where t.attrelid = relation_grants.p_relation and not t.attisdropped and a.grantee <> c.relowner
    group by a.grantee, a.privilege_type, a.is_grantable
  ) as g;
$$;
comment on function ledger.relation_grants(regclass) is
  'The grants of a relation and its columns to others than its owner: an array of {grantee, '
  'privilege, columns, grantable}';

create or replace function ledger.give_grants(p_relation regclass, p_grants jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_grant record;
begin
  for v_grant in
    select g.*
    from jsonb_to_recordset(p_grants)
      as g (grantee text, privilege text, columns text, grantable boolean)
  loop
    execute format(
      'grant %s%s on table %s to %s%s',
      v_grant.privilege, ' (' || v_grant.columns || ')', p_relation, v_grant.grantee,
      case when v_grant.grantable then ' with grant option' end
    );
  end loop;
end;
$$;
comment on function ledger.give_grants(regclass, jsonb) is
  'Grants on a relation what relation_grants() listed';

create or replace function ledger.take_grants(p_relation regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_grantee text;
begin
  for v_grantee in
    select distinct g.grantee
    from jsonb_to_recordset(ledger.relation_grants(p_relation)) as g (grantee text)
  loop
    execute format('revoke all on table %s from %s cascade', p_relation, v_grantee);
  end loop;
end;
$$;
comment on function ledger.take_grants(regclass) is
  'Revokes all that others than the owner may do with a relation and its columns';

create or replace function ledger.dependent_views(p_relation regclass)
returns jsonb
language sql
stable
security invoker
set search_path = '' -- the definitions name every relation with its schema
as $$
  select coalesce(jsonb_agg(to_jsonb(v) order by v.name), '[]')
  from (
    select
      c.oid::regclass::text as name,
      ' with (' || array_to_string(c.reloptions, ', ') || ')' as options,
      pg_get_viewdef(c.oid) as definition
    from pg_class as c
    where c.relkind = 'v' and c.relnamespace <> 'ledger'::regnamespace
      and exists (
        select from pg_depend as d
        inner join pg_rewrite as r on r.oid = d.objid and r.ev_class = c.oid
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = dependent_views.p_relation and c.oid <> dependent_views.p_relation
      )
  ) as v;
$$;
comment on function ledger.dependent_views(regclass) is
  'The app''s views that read a relation: an array of {name, options, definition}';

create or replace function ledger.repoint_views(p_views jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_view record;
begin
  for v_view in
    select v.* from jsonb_to_recordset(p_views) as v (name text, options text, definition text)
  loop
    execute format(
      'create or replace view %s%s as %s', v_view.name, v_view.options, v_view.definition
    );
  end loop;
end;
$$;
comment on function ledger.repoint_views(jsonb) is
  'Lets the app''s views read whatever has the names in their definitions now';

create or replace function ledger.embeddings()
returns regprocedure[]
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(array_agg(f.oid::regprocedure), '{}')
  from unnest(array[
    to_regprocedure('public.electricity_readings(public.user_profiles)')::oid,
    to_regprocedure('public.user_profiles(public.electricity_readings)')::oid,
    to_regprocedure('public.user_id(public.electricity_readings)')::oid
  ]) as f (oid)
  where obj_description(f.oid, 'pg_proc') like 'For PostgREST: %'; -- the app may have its own
$$;
comment on function ledger.embeddings() is
  'The functions that create_embeddings() made, which a switch makes anew';

create or replace function ledger.drop_embeddings()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_function regprocedure;
begin
  foreach v_function in array ledger.embeddings() loop
    execute format('drop function %s', v_function);
  end loop;
end;
$$;
comment on function ledger.drop_embeddings() is 'Drops the functions that create_embeddings() made';

create or replace function ledger.cutover_obstacles()
returns table (topic text, verdict text, subject text, finding text, next_step text)
language sql
stable
security invoker
set search_path = ''
as $$
  with
  legacy as (
    select c.oid, c.relkind, c.relrowsecurity
    from pg_class as c
    where c.oid = to_regclass('public.electricity_readings')
  ),
  own_rows as (
    select p.policyname, p.cmd, p.permissive, p.roles,
      coalesce(regexp_replace(lower(p.qual), '[()\s]|::uuid', '', 'g'), 'user_id=auth.uid')
        in (
          'auth.uid=user_id', 'user_id=auth.uid', 'selectauth.uidasuid=user_id',
          'user_id=selectauth.uidasuid'
        )
      and coalesce(regexp_replace(lower(p.with_check), '[()\s]|::uuid', '', 'g'), 'user_id=auth.uid')
        in (
          'auth.uid=user_id', 'user_id=auth.uid', 'selectauth.uidasuid=user_id',
          'user_id=selectauth.uidasuid'
        )
      and p.permissive = 'PERMISSIVE' as holds
    from pg_policies as p
    where p.schemaname = 'public' and p.tablename = 'electricity_readings'
  )
  select
    'state', 'refuse', 'electricity_readings', 'it is a view already: the cutover is done',
    'nothing; meterledger cutback leads back'
  from legacy as l where l.relkind = 'v'
  union all
  select
    'state', 'refuse', 'electricity_readings', 'there is no such table', 'deploy the phases first'
  where not exists (select from legacy)
  union all
  select
    'owner', 'refuse', 'electricity_readings',
    format('the table belongs to %s, and you are %s', pg_get_userbyid(c.relowner), current_user),
    'connect as the owner, or alter table public.electricity_readings owner to …'
  from legacy as l
  inner join pg_class as c on c.oid = l.oid
  where l.relkind <> 'v' and c.relowner <> (
    select o.oid from pg_roles as o where o.rolname = current_user
  )
  union all
  select
    'columns', 'refuse', format('column %s', a.attname),
    format('the events have no place for the table''s column %s', a.attname),
    'move it to a table of its own, keyed by (user_id, id), then drop it'
  from legacy as l
  inner join pg_attribute as a on a.attrelid = l.oid and a.attnum > 0 and not a.attisdropped
  where l.relkind <> 'v' and a.attname not in (
    'id', 'user_id', 'date', 'kwh_value', 'token_amount', 'token_cost', 'notes',
    'meter_photo_url', 'created_at'
  )
  union all
  select
    'isolation', 'refuse', 'electricity_readings', 'row level security is off on the table',
    'alter table public.electricity_readings enable row level security; see meterledger isolation'
  from legacy as l where l.relkind <> 'v' and not l.relrowsecurity
  union all
  select
    'policies', 'acknowledge', format('policy "%s"', o.policyname),
    format('policy "%s" says something else than own rows; through the view each user reaches '
      'own rows, and nothing else', o.policyname),
    'see whether a client needs what it gives'
  from own_rows as o where not o.holds
  union all
  select
    'policies', 'acknowledge', format('no policy for %s', x.cmd),
    format('no policy lets a user %s: a %s that found no row is refused through the view',
      lower(x.cmd), lower(x.cmd)),
    'nothing, where no client tries'
  from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as x (cmd)
  inner join legacy as l on l.relkind <> 'v'
  where not exists (
    select from own_rows as o where o.cmd in (x.cmd, 'ALL') and o.permissive = 'PERMISSIVE'
  )
  union all
  select
    'triggers', 'refuse', format('trigger %s', t.tgname),
    format('trigger %s calls %s, and the view would not fire it', t.tgname, t.tgfoid::regprocedure),
    'move what it does to token_events, then drop it'
  from legacy as l
  inner join pg_trigger as t on t.tgrelid = l.oid and not t.tgisinternal
  inner join pg_proc as p on p.oid = t.tgfoid
  where l.relkind <> 'v' and p.pronamespace <> 'ledger'::regnamespace
  union all
  select
    'rules', 'refuse', format('rule %s', r.rulename), 'a view cannot carry the table''s rule',
    'drop it'
  from legacy as l
  inner join pg_rewrite as r on r.ev_class = l.oid
  where l.relkind <> 'v'
  union all
  select
    'partitions', 'refuse', i.inhrelid::regclass::text, 'the table has or is a child of another',
    'detach it'
  from legacy as l
  inner join pg_inherits as i on l.oid in (i.inhrelid, i.inhparent)
  union all
  select
    'keys', 'refuse', format('foreign key %s of %s', f.conname, f.conrelid::regclass),
    'a foreign key cannot point at a view',
    'point it at token_events (user_id, id), or drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'f' and f.confrelid = l.oid
  union all
  select
    'keys', 'refuse', format('foreign key %s', f.conname),
    'the view knows only the key from user_id to user_profiles', 'drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'f' and f.conrelid = l.oid
  where f.confrelid <> 'public.user_profiles'::regclass
  union all
  select
    'keys', 'refuse', format('constraint %s', f.conname), 'a view cannot hold an exclusion',
    'drop it'
  from legacy as l
  inner join pg_constraint as f on f.contype = 'x' and f.conrelid = l.oid
  union all
  select
    'keys', 'refuse', format('index %s', i.indexrelid::regclass),
    'it is unique across users, which the view cannot hold', 'add user_id to it, or drop it'
  from legacy as l
  inner join pg_index as i on i.indrelid = l.oid and i.indisunique and not i.indisprimary
  where not exists (
    select from pg_attribute as a
    where a.attrelid = l.oid and a.attname = 'user_id' and a.attnum = any (i.indkey::int2[])
  )
  union all
  select
    'views', 'move', v.name, 'the view reads electricity_readings; it is pointed at its successor',
    'nothing'
  from legacy as l
  cross join lateral jsonb_to_recordset(ledger.dependent_views(l.oid)) as v (name text)
  where l.relkind <> 'v'
  union all
  select
    'views', 'refuse', c.oid::regclass::text,
    'the materialized view reads the table, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_depend as d
    on d.refobjid = l.oid and d.refclassid = 'pg_class'::regclass
      and d.classid = 'pg_rewrite'::regclass
  inner join pg_rewrite as r on r.oid = d.objid
  inner join pg_class as c on c.oid = r.ev_class and c.relkind = 'm'
  group by c.oid
  union all
  select
    'policies', 'refuse', format('policy "%s" of %s', y.polname, y.polrelid::regclass),
    'the policy reads the table, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_depend as d
    on d.refobjid = l.oid and d.refclassid = 'pg_class'::regclass
      and d.classid = 'pg_policy'::regclass
  inner join pg_policy as y on y.oid = d.objid and y.polrelid <> l.oid
  group by y.polname, y.polrelid
  union all
  select
    'functions', 'refuse', f.oid::regprocedure::text,
    'the function takes, returns or reads the table itself, and would stay with its archive',
    'drop it, and create it again after the cutover'
  from legacy as l
  inner join pg_class as c on c.oid = l.oid
  inner join pg_depend as d
    on d.classid = 'pg_proc'::regclass
      and ((d.refclassid = 'pg_class'::regclass and d.refobjid = l.oid)
        or (d.refclassid = 'pg_type'::regclass and d.refobjid = c.reltype))
  inner join pg_proc as f on f.oid = d.objid and f.pronamespace <> 'ledger'::regnamespace
  where l.relkind <> 'v' and f.oid <> all (ledger.embeddings())
  group by f.oid
  union all
  select
    'functions', 'acknowledge', f.oid::regprocedure::text,
    'the function names electricity_readings, and will meet the view',
    'see that it uses no on conflict, no for update, no truncate'
  from legacy as l
  inner join pg_proc as f
    on f.prosrc ~ '\melectricity_readings\M'
      and f.pronamespace::regnamespace::text not in ('ledger', 'pg_catalog', 'information_schema')
  where l.relkind <> 'v' and f.oid <> all (ledger.embeddings())
  union all
  select
    'realtime', 'acknowledge', format('publication %s', t.pubname),
    'a view is never published: subscribers hear nothing more of electricity_readings',
    'let them follow token_events'
  from legacy as l
  inner join pg_publication_tables as t
    on l.relkind <> 'v' and t.schemaname = 'public' and t.tablename = 'electricity_readings'
  union all
  select
    'upserts', 'acknowledge', 'on conflict, PUT',
    'on a view, insert … on conflict (id) fails with 42P10 and PUT with 405',
    'let clients insert or patch: see docs/clients.md'
  from legacy as l where l.relkind <> 'v';
$$;
comment on function ledger.cutover_obstacles() is
  'What the catalog says of a cutover: verdict refuse, acknowledge (by its topic), or move';

create or replace function ledger.cutover_findings()
returns table (topic text, verdict text, subject text, finding text, next_step text)
language sql
stable
security invoker
set search_path = ''
as $$
  select o.* from ledger.cutover_obstacles() as o
  union all
  select
    'data', 'refuse', 'rejects', format('%s rejected readings wait for a decision', count(*)),
    'meterledger rejects: correct or waive each'
  from ledger.migration_rejects as x
  where x.waived_at is null and not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'refuse', 'pending', format('%s readings are not migrated yet', count(*)),
    'meterledger backfill'
  from ledger.pending_readings as p
  where not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'refuse', 'time zone', 'the app''s time zone is not confirmed',
    'update ledger.settings set time_zone = …'
  from ledger.settings as s
  where s.time_zone is null
  union all
  select
    'data', 'note', 'voided readings',
    format('%s readings that the table shows were voided by new clients, and go from sight',
      count(*)),
    'meterledger validate lists them'
  from ledger.migrated_readings as l
  inner join public.token_events as e on e.user_id = l.user_id and e.id = l.event_id
  where e.is_voided and not l.superseded and not ledger.is_cut_over()
  having count(*) > 0
  union all
  select
    'data', 'note', 'new events',
    format('%s events that only new clients see appear to old ones', count(*)),
    'meterledger validate lists them'
  from public.token_events as e
  where not e.is_voided and e.event_type <> 'VOID' and not ledger.is_cut_over()
    and not exists (
      select from ledger.migrated_readings as l
      where l.user_id = e.user_id and l.reading_id = coalesce(e.reading_id, e.id)
        and l.event_id = e.id
    )
  having count(*) > 0;
$$;
comment on function ledger.cutover_findings() is
  'What stands in the way of a cutover, what it moves and what its operator must know, the data '
  'included';

-- The old columns in the old order with the old types: prepared statements go on. A position that
-- the old type cannot hold shows as NaN instead of failing the reader's whole page.
create or replace function ledger.create_readings_view()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_archive constant regclass := 'ledger.electricity_readings_archive';
  v_columns text;
  v_default record;
begin
  select string_agg(
    case
      when a.atttypid = 'numeric'::regtype and a.atttypmod <> -1
      then format(
        'case when abs(r.%1$I) >= 1e%2$s - 5e-%3$s then ''NaN''::%4$s else r.%1$I::%4$s end as %1$I',
        a.attname,
        ((a.atttypmod - 4) >> 16) - ((a.atttypmod - 4) & 2047),
        ((a.atttypmod - 4) & 2047) + 1,
        format_type(a.atttypid, a.atttypmod)
      )
      -- An upsert that names no conflict must come as a plain insert, which the trigger can judge:
      -- PostgREST must find no key to name. The planner sees the bare column.
      when a.attname = 'id' then 'case when true then r.id end as id'
      when a.atttypid = p.atttypid and a.atttypmod = p.atttypmod then format('r.%I', a.attname)
      else format('r.%1$I::%2$s as %1$I', a.attname, format_type(a.atttypid, a.atttypmod))
    end,
    ', ' order by a.attnum
  )
  into v_columns
  from pg_attribute as a
  inner join pg_attribute as p
    on p.attrelid = 'ledger.readings'::regclass and p.attname = a.attname
  where a.attrelid = v_archive and a.attnum > 0 and not a.attisdropped;
  execute format(
    'create view public.electricity_readings with (security_invoker = true) as '
    'select %s from ledger.readings as r',
    v_columns
  );
  comment on view public.electricity_readings is
    'The readings under their old name, for old clients: a view that writes events';
  for v_default in
    select a.attname, pg_get_expr(d.adbin, d.adrelid) as expression
    from pg_attrdef as d
    inner join pg_attribute as a on a.attrelid = d.adrelid and a.attnum = d.adnum
    where d.adrelid = v_archive
  loop
    execute format(
      'alter view public.electricity_readings alter column %I set default %s',
      v_default.attname, v_default.expression
    );
  end loop;

  create trigger electricity_readings_check_rights
  instead of insert or update on public.electricity_readings
  for each row execute function ledger.check_reading_rights();
  create trigger electricity_readings_insert
  instead of insert on public.electricity_readings
  for each row execute function ledger.insert_reading();
  create trigger electricity_readings_update
  instead of update on public.electricity_readings
  for each row execute function ledger.update_reading();
  create trigger electricity_readings_delete
  instead of delete on public.electricity_readings
  for each row execute function ledger.delete_reading();
end;
$$;
comment on function ledger.create_readings_view() is
  'Puts the view electricity_readings where the archived table was, with its types and defaults';

-- A foreign key of a view there is none, and PostgREST embeds along these instead. The table gets
-- them too: a cutback must not fail those who still ask as of the view.
create or replace function ledger.create_embeddings()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_name text;
  v_function regprocedure;
begin
  create function public.electricity_readings(public.user_profiles)
  returns setof public.electricity_readings
  rows 100
  language sql
  stable
  security invoker
  set search_path = ''
  as 'select r.* from public.electricity_readings as r where r.user_id = ($1).id';
  comment on function public.electricity_readings(public.user_profiles) is
    'For PostgREST: a profile''s readings, as the table''s foreign key embedded them';

  -- Clients name the profile by its table or by the key's column.
  foreach v_name in array array['user_profiles', 'user_id'] loop
    execute format(
      $sql$
        create function public.%1$I(public.electricity_readings)
        returns setof public.user_profiles
        rows 1
        language sql
        stable
        security invoker
        set search_path = ''
        as 'select p.* from public.user_profiles as p where p.id = ($1).user_id';
        comment on function public.%1$I(public.electricity_readings) is
          'For PostgREST: a reading''s profile, as the table''s foreign key embedded it';
      $sql$,
      v_name
    );
  end loop;

  foreach v_function in array ledger.embeddings() loop
    execute format(
      'revoke all on function %s from public, anon, authenticated, service_role', v_function
    );
    execute format('grant execute on function %s to authenticated, service_role', v_function);
    -- Of the table anon may be a reader, who finds nothing.
    if not ledger.is_cut_over()
      and has_table_privilege('anon', 'public.electricity_readings', 'select')
    then
      execute format('grant execute on function %s to anon', v_function);
    end if;
  end loop;
end;
$$;
comment on function ledger.create_embeddings() is
  'Creates the functions by which PostgREST embeds profiles in readings and readings in profiles';

create or replace function ledger.require_cutover(p_findings jsonb, p_acknowledged text[])
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_list text;
  v_steps text;
begin
  select
    string_agg(format('%s: %s', f.subject, f.finding), '; '),
    string_agg(distinct case f.verdict
      when 'refuse' then f.next_step
      else format('acknowledge %s, when you have seen to it', f.topic)
    end, '; ')
  into v_list, v_steps
  from jsonb_to_recordset(p_findings)
    as f (topic text, verdict text, subject text, finding text, next_step text)
  where f.verdict = 'refuse'
    or (f.verdict = 'acknowledge' and f.topic <> all (p_acknowledged));
  if v_list is not null then
    raise exception 'meterledger: the cutover is refused: %', v_list
      using errcode = 'ML210', detail = 'Next: ' || v_steps;
  end if;
end;
$$;
comment on function ledger.require_cutover(jsonb, text[]) is
  'Raises ML210 with the findings that refuse a cutover, or that nobody acknowledged';

create or replace function ledger.cut_over(p_acknowledged text[] default '{}')
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_views jsonb;
  v_grants jsonb;
  v_cutover_id bigint;
  v_locked_at timestamptz;
begin
  -- What takes a scan is asked before the lock; the sync lets nothing become pending meanwhile.
  perform ledger.require_cutover(
    (select jsonb_agg(to_jsonb(f)) from ledger.cutover_findings() as f), p_acknowledged
  );
  lock table public.electricity_readings in access exclusive mode;
  v_locked_at := clock_timestamp();
  perform ledger.require_cutover(
    (select jsonb_agg(to_jsonb(o)) from ledger.cutover_obstacles() as o), p_acknowledged
  );

  perform ledger.drop_embeddings();
  v_views := ledger.dependent_views('public.electricity_readings');
  v_grants := ledger.relation_grants('public.electricity_readings');
  insert into ledger.cutovers (acknowledged, table_grants)
  values (p_acknowledged, v_grants)
  returning cutover_id into v_cutover_id;

  -- Grants that no policy gave a row to would open something on a view: they stay with the table.
  select coalesce(jsonb_agg(g.value), '[]') into v_grants
  from jsonb_array_elements(v_grants) as g
  where g.value ->> 'privilege' in ('select', 'insert', 'update', 'delete')
    and (
      exists (
        select from pg_roles as o
        where quote_ident(o.rolname) = g.value ->> 'grantee' and o.rolbypassrls
      )
      or exists (
        select from pg_policies as p
        where p.schemaname = 'public' and p.tablename = 'electricity_readings'
          and p.permissive = 'PERMISSIVE' and p.cmd in (upper(g.value ->> 'privilege'), 'ALL')
          and (p.roles::text[] && array['public', g.value ->> 'grantee']
            or g.value ->> 'grantee' = 'public')
      )
    );
  perform ledger.take_grants('public.electricity_readings');
  alter table public.electricity_readings
    disable trigger electricity_readings_sync_inserts,
    disable trigger electricity_readings_sync_updates,
    disable trigger electricity_readings_sync_copied,
    disable trigger electricity_readings_sync_deletes;
  alter table public.electricity_readings rename to electricity_readings_archive;
  alter table public.electricity_readings_archive set schema ledger;
  delete from ledger.cutback_marks;
  perform ledger.create_readings_view();
  perform ledger.take_grants('public.electricity_readings'); -- what default privileges gave
  perform ledger.give_grants('public.electricity_readings', v_grants);
  perform ledger.repoint_views(v_views);

  perform ledger.create_embeddings();
  notify pgrst, 'reload schema';
  return jsonb_build_object(
    'cutover_id', v_cutover_id, 'views_moved', jsonb_array_length(v_views),
    'locked_at', v_locked_at
  );
end;
$$;
comment on function ledger.cut_over(text[]) is
  'Turns electricity_readings into a view over the projection and archives the table; refuses '
  '(ML210) with the list of what stands in the way or was not acknowledged';

create or replace function ledger.archive_obstacles(p_users uuid[] default null)
returns table (user_id uuid, reading_id uuid, problem text)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_archive constant regclass := 'ledger.electricity_readings_archive';
  v_check record;
  v_checks text := '';
begin
  for v_check in
    select c.conname, pg_get_expr(c.conbin, c.conrelid) as expression
    from pg_constraint as c
    where c.conrelid = v_archive and c.contype = 'c'
  loop
    v_checks := v_checks || format(
      ' union all select r.user_id, r.id, %L from rows_of as r where (%s) is false',
      'it violates ' || v_check.conname, v_check.expression
    );
  end loop;
  for v_check in
    select
      c.relname,
      coalesce(pg_get_expr(i.indpred, i.indrelid), 'true') as predicate,
      string_agg(pg_get_indexdef(i.indexrelid, s.n, false), ', ' order by s.n) as keys
    from pg_index as i
    inner join pg_class as c on c.oid = i.indexrelid
    cross join lateral generate_series(1, i.indnkeyatts) as s (n)
    where i.indrelid = v_archive and i.indisunique and not i.indisprimary
    group by c.relname, i.indpred, i.indrelid
  loop
    -- The oldest row of a key may stay.
    v_checks := v_checks || format(
      ' union all select x.user_id, x.id, %L from (select r.user_id, r.id, row_number() over '
      '(partition by %s order by r.created_at, r.id) as nth from rows_of as r where %s) as x '
      'where x.nth > 1',
      'it repeats a key of ' || v_check.relname, v_check.keys, v_check.predicate
    );
  end loop;
  return query execute
    $sql$
      with rows_of as materialized (
        select * from public.electricity_readings as v
        where $1 is null or v.user_id = any ($1)
      )
      select r.user_id, r.id, 'the table''s numbers cannot hold it'
      from rows_of as r
      where 'NaN' in (r.kwh_value, r.token_amount, r.token_cost)
      union all
      select r.user_id, r.id, 'a rejected row has its id'
      from rows_of as r
      inner join ledger.migration_rejects as x on x.reading_id = r.id
      union all
      select distinct r.user_id, r.id, 'another user''s row has its id'
      from rows_of as r
      inner join ledger.electricity_readings_archive as a on a.id = r.id and a.user_id <> r.user_id
      -- What the view does not show of its owner any more, the merge removes.
      inner join ledger.readings as o on o.user_id = a.user_id and o.id = a.id
      union all
      select distinct r.user_id, r.id, 'another user''s row has its id'
      from rows_of as r
      inner join ledger.readings as o on o.id = r.id and o.user_id < r.user_id
      where not exists (
        select from ledger.electricity_readings_archive as a
        inner join ledger.readings as k on k.user_id = a.user_id and k.id = a.id
        where a.id = r.id
      )
    $sql$ || v_checks
  using p_users;
end;
$$;
comment on function ledger.archive_obstacles(uuid[]) is
  'Readings of the given users, or of everybody, that the archived table could not take back, and '
  'why';

create or replace function ledger.merge_into_archive(p_users uuid[])
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_owners uuid[]; -- of the rows that are set aside: another user may have the same id
  v_set_aside uuid[];
  v_removed bigint;
  v_written uuid[];
begin
  -- Writers of events wait: one that voids a row between two of these statements would leave it in
  -- the table with nothing that stands for it.
  perform
  from ledger.heads as h
  where h.user_id = any (p_users)
  order by h.user_id
  for update of h;
  with
  obstacles as materialized (
    select o.user_id, array_agg(distinct o.reading_id) as reading_ids
    from ledger.archive_obstacles(p_users) as o
    group by o.user_id
  ),
  noted as (
    update ledger.cutback_marks as m
    set obstacles = coalesce(
      (select cardinality(o.reading_ids) from obstacles as o where o.user_id = m.user_id), 0
    )
    where m.user_id = any (p_users)
  )
  select array_agg(o.user_id), array_agg(i.reading_id) into v_owners, v_set_aside
  from obstacles as o
  cross join lateral unnest(o.reading_ids) as i (reading_id);

  -- What differs goes first and comes back whole, so that no key is ever held twice in between.
  -- Rejected rows, which no event stands for, stay.
  delete from ledger.electricity_readings_archive as a
  where a.user_id = any (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
    and not exists (
      select from public.electricity_readings as v
      where v.user_id = a.user_id and v.id = a.id
        and not exists (
          select from unnest(v_owners, v_set_aside) as s (user_id, id)
          where s.user_id = v.user_id and s.id = v.id
        )
        and (v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes, v.meter_photo_url)
          is not distinct from
          (a.date, a.kwh_value, a.token_amount, a.token_cost, a.notes, a.meter_photo_url)
        and (a.created_at is null or v.created_at = a.created_at)
    );
  get diagnostics v_removed = row_count;
  -- A row that was given to one of these users since, and is its old owner's in the archive still.
  delete from ledger.electricity_readings_archive as a
  using public.electricity_readings as v
  where v.user_id = any (p_users) and a.id = v.id and a.user_id <> all (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
    and not exists (
      select from public.electricity_readings as o where o.user_id = a.user_id and o.id = a.id
    );
  with written as (
    insert into ledger.electricity_readings_archive (
      id, user_id, date, kwh_value, token_amount, token_cost, notes, meter_photo_url, created_at
    )
    select
      v.id, v.user_id, v.date, v.kwh_value, v.token_amount, v.token_cost, v.notes,
      v.meter_photo_url, v.created_at
    from public.electricity_readings as v
    where v.user_id = any (p_users)
      and not exists (
        select from unnest(v_owners, v_set_aside) as s (user_id, id)
        where s.user_id = v.user_id and s.id = v.id
      )
      and not exists (
        select from ledger.electricity_readings_archive as a
        where a.user_id = v.user_id and a.id = v.id
      )
    returning id
  )
  select array_agg(w.id) into v_written from written as w;

  -- The list follows: one entry a row of the table, for the event that stands for it now.
  update ledger.migrated_readings as l
  set superseded = true
  where l.user_id = any (p_users) and not l.superseded
    and not exists (
      select from ledger.electricity_readings_archive as a
      inner join public.token_events as e
        on e.user_id = a.user_id and coalesce(e.reading_id, e.id) = a.id
          and not e.is_voided and e.event_type <> 'VOID'
      where a.user_id = l.user_id and a.id = l.reading_id and e.id = l.event_id
    );
  insert into ledger.migrated_readings as l (user_id, reading_id, event_id, completed, copied)
  select a.user_id, a.id, e.id, true, true
  from ledger.electricity_readings_archive as a
  inner join public.token_events as e
    on e.user_id = a.user_id and coalesce(e.reading_id, e.id) = a.id
      and not e.is_voided and e.event_type <> 'VOID'
  where a.user_id = any (p_users)
    and not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  on conflict (user_id, reading_id, event_id) do update
  set superseded = false where l.superseded;
  update ledger.migrated_readings as l
  set copied = true
  from public.token_events as e
  where l.user_id = any (p_users) and not l.superseded and not l.copied
    and e.user_id = l.user_id and e.id = l.event_id
    and (
      (e.event_type <> 'METER_READING' and e.observed_kwh is null)
      -- What was written just now was rounded to the table's numbers, whoever recorded the event.
      or l.reading_id in (select w.id from unnest(v_written) as w (id))
    );
  return jsonb_build_object(
    'removed', v_removed, 'written', coalesce(cardinality(v_written), 0),
    'set_aside', coalesce(cardinality(v_set_aside), 0)
  );
end;
$$;
comment on function ledger.merge_into_archive(uuid[]) is
  'Makes the archived table hold what the view shows of the given users, but for the rows that it '
  'cannot take; counts as jsonb';

create or replace function ledger.prepare_cutback(p_limit int default 1000)
returns bigint
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_users uuid[];
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table: there is nothing to cut back'
      using errcode = 'ML211', detail = 'Next: nothing.';
  end if;
  -- The version first, then the rows: whoever writes in between is merged once more at the switch.
  with chosen as (
    insert into ledger.cutback_marks as m (user_id, version)
    select h.user_id, h.version
    from ledger.heads as h
    left join ledger.cutback_marks as k on k.user_id = h.user_id
    where k.version is distinct from h.version
    order by k.version is not null, h.user_id -- who writes all day long comes last
    limit p_limit
    on conflict (user_id) do update set version = excluded.version
    returning m.user_id
  )
  select array_agg(c.user_id) into v_users from chosen as c;
  if v_users is null then
    return 0;
  end if;
  perform ledger.merge_into_archive(v_users);
  return cardinality(v_users);
end;
$$;
comment on function ledger.prepare_cutback(int) is
  'Merges the readings of some users that changed since they were last merged into the archived '
  'table, beside running writers; how many users, 0 when all are merged';

create or replace function ledger.cut_back(p_set_aside bigint default 0)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_views jsonb;
  v_users bigint;
  v_troubled uuid[];
  v_set_aside bigint;
  v_list text;
  v_locked_at timestamptz;
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table: there is nothing to cut back'
      using errcode = 'ML211', detail = 'Next: nothing.';
  end if;
  perform ledger.drop_embeddings();
  v_views := ledger.dependent_views('public.electricity_readings');
  -- Writers through the view are waited for, and new ones wait: a rename locks the view itself,
  -- where lock table would lock the projection under it too.
  alter view public.electricity_readings rename to electricity_readings_leaving;
  alter view public.electricity_readings_leaving rename to electricity_readings;
  v_locked_at := clock_timestamp();
  v_users := ledger.prepare_cutback(null);

  select array_agg(m.user_id) into v_troubled
  from ledger.cutback_marks as m
  where m.obstacles > 0;
  -- What stood in another user's way may be gone since: these are merged once more.
  if v_troubled is not null then
    perform ledger.merge_into_archive(v_troubled);
  end if;
  select
    count(distinct (o.user_id, o.reading_id)),
    string_agg(o.problem || ': ' || o.reading_id, '; ') filter (where o.nth <= 10)
  into v_set_aside, v_list
  from (
    select a.*, row_number() over (order by a.user_id, a.reading_id) as nth
    from ledger.archive_obstacles(coalesce(v_troubled, '{}')) as a
  ) as o;
  if v_set_aside <> p_set_aside then
    raise exception 'meterledger: the table cannot take % readings back: %', v_set_aside, v_list
      using errcode = 'ML211',
        detail = 'Next: correct them through their app, or let them be set aside, by their number.';
  end if;
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select
    o.user_id, 'reading', 'the table could not take it back: ' || string_agg(o.problem, ', '),
    (
      select to_jsonb(r) from ledger.readings as r
      where r.user_id = o.user_id and r.id = o.reading_id
    )
  from ledger.archive_obstacles(coalesce(v_troubled, '{}')) as o
  group by o.user_id, o.reading_id;

  -- What contract() dropped and no event stands for comes back from the list of rejects.
  insert into ledger.electricity_readings_archive
  select w.*
  from ledger.migration_rejects as x
  cross join lateral
    jsonb_populate_record(null::ledger.electricity_readings_archive, x.row_data) as w
  where x.user_id is null or exists (select from public.user_profiles as p where p.id = x.user_id)
  on conflict do nothing;
  with gone as (
    delete from ledger.migration_rejects as x
    where not exists (
      select from ledger.electricity_readings_archive as a where a.id = x.reading_id
    )
    returning x.user_id, x.reason, x.row_data
  )
  insert into ledger.set_aside (user_id, kind, reason, row_data)
  select g.user_id, 'reject', 'the table could not take it back: ' || g.reason, g.row_data
  from gone as g;

  -- Every row has arrived, but for those that were set aside. Users whose version is the one that
  -- they were merged at have the same rows as then, which the command compared whole.
  if (select count(*) from public.electricity_readings) - v_set_aside <> (
    select count(*) from ledger.electricity_readings_archive as a
    where not exists (select from ledger.migration_rejects as x where x.reading_id = a.id)
  ) then
    raise exception 'meterledger: the table does not hold what the view shows'
      using errcode = 'ML215',
        detail = 'Next: Nothing was changed. Report it as a defect, and stay with the view.';
  end if;

  alter view public.electricity_readings rename to electricity_readings_leaving;
  alter table ledger.electricity_readings_archive set schema public;
  alter table public.electricity_readings_archive rename to electricity_readings;
  perform ledger.repoint_views(v_views);
  drop view public.electricity_readings_leaving;
  alter table public.electricity_readings
    enable trigger electricity_readings_sync_inserts,
    enable trigger electricity_readings_sync_updates,
    enable trigger electricity_readings_sync_copied,
    enable trigger electricity_readings_sync_deletes;
  perform ledger.give_grants('public.electricity_readings', c.table_grants)
  from ledger.cutovers as c
  where c.cut_back_at is null;
  perform ledger.create_embeddings();
  update ledger.cutovers as c
  set cut_back_at = clock_timestamp(), cut_back_by = session_user, set_aside = v_set_aside
  where c.cut_back_at is null;
  delete from ledger.cutback_marks;
  notify pgrst, 'reload schema';
  return jsonb_build_object(
    'users_merged', v_users, 'set_aside', v_set_aside, 'locked_at', v_locked_at
  );
end;
$$;
comment on function ledger.cut_back(bigint) is
  'Makes electricity_readings the table again with every write in it; refuses (ML211) unless told '
  'the number of readings that the table cannot take back';

-- After a cutback: a row that was copied from its event says no more than the event did. An edit of
-- its note must not turn a computed balance, which moves on, into what a meter showed.
create or replace function ledger.sync_copied()
returns trigger
language plpgsql
security definer -- writes events, lists and columns that no API role may
set search_path = ''
as $$
begin
  perform ledger.change_reading(
    row(
      o.id, o.user_id, o.date, o.kwh_value, o.token_cost, o.token_amount, o.notes,
      o.meter_photo_url, o.created_at
    )::ledger.readings,
    row(
      n.id, n.user_id, n.date, n.kwh_value, n.token_cost, n.token_amount, n.notes,
      n.meter_photo_url, n.created_at
    )::ledger.readings
  )
  from new_rows as n
  inner join old_rows as o on o.user_id = n.user_id and o.id = n.id
  where (
      n.date, n.kwh_value, n.token_amount, n.token_cost, n.notes, n.meter_photo_url, n.created_at
    ) is distinct from (
      o.date, o.kwh_value, o.token_amount, o.token_cost, o.notes, o.meter_photo_url, o.created_at
    )
    and exists (
      select from ledger.migrated_readings as l
      where l.user_id = n.user_id and l.reading_id = n.id and not l.superseded and l.copied
    );
  return null;
end;
$$;
comment on function ledger.sync_copied() is
  'After an update of electricity_readings: changes the events of rows that a cutback copied';
revoke all on function ledger.sync_copied() from public, anon, authenticated, service_role;

do $$
begin
  -- On a rerun the name may be the view's, and the trigger is where the table is.
  if not ledger.is_cut_over() then
    create or replace trigger electricity_readings_sync_copied
    after update on public.electricity_readings
    referencing old table as old_rows new table as new_rows
    for each statement execute function ledger.sync_copied();
  end if;
end;
$$;

create or replace function ledger.contract()
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_rows bigint;
begin
  if not ledger.is_cut_over() then
    raise exception 'meterledger: electricity_readings is the table that the app reads: nothing may go'
      using errcode = 'ML214', detail = 'Next: cut over first, and wait out the grace period.';
  end if;
  -- The empty table stays: its constraints give old clients' errors their names.
  lock table ledger.electricity_readings_archive in access exclusive mode;
  select count(*) into v_rows from ledger.electricity_readings_archive;
  alter table ledger.electricity_readings_archive
    disable trigger electricity_readings_refuse_truncate;
  truncate table ledger.electricity_readings_archive;
  alter table ledger.electricity_readings_archive
    enable trigger electricity_readings_refuse_truncate;
  delete from ledger.cutback_marks;
  update ledger.cutovers as c
  set contracted_at = clock_timestamp(), contracted_by = session_user
  where c.cut_back_at is null and c.contracted_at is null;
  return jsonb_build_object('rows', v_rows);
end;
$$;
comment on function ledger.contract() is
  'Empties the archived table, for good; its shape stays, since old clients'' errors carry its '
  'constraints'' names';

revoke all on function
ledger.relation_grants(regclass), ledger.give_grants(regclass, jsonb),
ledger.take_grants(regclass), ledger.dependent_views(regclass), ledger.repoint_views(jsonb),
ledger.cutover_obstacles(), ledger.cutover_findings(), ledger.require_cutover(jsonb, text[]),
ledger.create_readings_view(), ledger.create_embeddings(), ledger.embeddings(),
ledger.drop_embeddings(),
ledger.cut_over(text[]), ledger.archive_obstacles(uuid[]),
ledger.merge_into_archive(uuid[]), ledger.prepare_cutback(int), ledger.cut_back(bigint),
ledger.contract()
from public, anon, authenticated, service_role;
