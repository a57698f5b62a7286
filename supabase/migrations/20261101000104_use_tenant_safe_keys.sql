-- Purpose: phase 1, the key swap: primary and foreign keys that carry user_id, so that nobody can
--   point at, probe for or collide with another user's row.
-- Objects: token_events_tenant_pkey, token_events_void_of_event_tenant_fkey,
--   recalculation_batches_tenant_pkey; token_events_user_profile_fkey, where a found table lacks it
-- Locks: access exclusive on token_events and recalculation_batches for catalog changes only
--   (the index is there already); foreign keys are validated in the next file
-- Rollback: rollbacks/20261101000104_use_tenant_safe_keys.sql
set local lock_timeout = '5s';

do $$
declare
  v_index text;
  v_list text;
begin
  -- A concurrent build that was cut off leaves an index that nothing may rely on.
  for v_index in
    select format('public.%I', c.relname)
    from pg_index as i inner join pg_class as c on c.oid = i.indexrelid
    where i.indrelid = 'public.token_events'::regclass and not i.indisvalid
      and c.relname in ('token_events_tenant_pkey', 'token_events_visible_id', 'token_events_order')
  loop
    execute format('reindex index %s', v_index);
  end loop;

  -- Whatever else hangs on a key of id alone must be looked at by a person.
  select string_agg(k.what, ', ' order by k.what)
  into v_list
  from (
    select format('foreign key %s on %s', f.conname, f.conrelid::regclass) as what
    from pg_constraint as f
    where f.contype = 'f' and array_length(f.confkey, 1) = 1
      and f.confrelid in (
        'public.token_events'::regclass, 'public.recalculation_batches'::regclass
      )
      and not (
        f.conrelid = 'public.token_events'::regclass
        and f.confrelid = 'public.token_events'::regclass
        and f.conkey = array[(
          select a.attnum from pg_attribute as a
          where a.attrelid = f.conrelid and a.attname = 'void_of_event'
        )]
      )
    union all
    select distinct format('view %s', r.ev_class::regclass)
    from pg_constraint as p
    inner join pg_depend as d
      on d.refclassid = 'pg_constraint'::regclass and d.refobjid = p.oid
        and d.classid = 'pg_rewrite'::regclass
    inner join pg_rewrite as r on r.oid = d.objid
    where p.contype = 'p' and array_length(p.conkey, 1) = 1
      and p.conrelid in (
        'public.token_events'::regclass, 'public.recalculation_batches'::regclass
      )
  ) as k;
  if v_list is not null then
    raise exception 'meterledger: other objects depend on the old key of id alone: %', v_list
      using errcode = 'ML001',
        detail = 'Next: Drop them and push again; afterwards foreign keys must be '
          '(user_id, …) → (user_id, id).';
  end if;
end;
$$;

do $$
declare
  v_old record;
begin
  -- The old keys, noted for the rollback, then dropped: first what refers, then what it refers to.
  for v_old in
    select c.conname, c.conrelid::regclass as table_name, pg_get_constraintdef(c.oid) as definition
    from pg_constraint as c
    where c.conrelid in (
        'public.token_events'::regclass, 'public.recalculation_batches'::regclass
      )
      and (
        (c.contype = 'f' and c.confrelid = 'public.token_events'::regclass
          and array_length(c.conkey, 1) = 1)
        or (c.contype = 'p' and array_length(c.conkey, 1) = 1)
      )
    order by c.contype
  loop
    update ledger.found_objects
    set definition = jsonb_set(
      definition, '{keys}',
      coalesce(definition -> 'keys', '[]')
      || jsonb_build_array(jsonb_build_object('name', v_old.conname, 'as', v_old.definition))
    )
    where to_regclass(object_name) = v_old.table_name;
    execute format('alter table %s drop constraint %I', v_old.table_name, v_old.conname);
  end loop;

  if not exists (
    select from pg_constraint
    where conrelid = 'public.token_events'::regclass and conname = 'token_events_tenant_pkey'
  ) then
    alter table public.token_events
    add constraint token_events_tenant_pkey primary key using index token_events_tenant_pkey;
  end if;
  if not exists (
    select from pg_constraint
    where conrelid = 'public.recalculation_batches'::regclass
      and conname = 'recalculation_batches_tenant_pkey'
  ) then
    alter table public.recalculation_batches
    add constraint recalculation_batches_tenant_pkey primary key (user_id, id);
  end if;
  if not exists (
    select from pg_constraint
    where conrelid = 'public.token_events'::regclass
      and conname = 'token_events_void_of_event_tenant_fkey'
  ) then
    alter table public.token_events
    add constraint token_events_void_of_event_tenant_fkey
    foreign key (user_id, void_of_event) references public.token_events (user_id, id) not valid;
  end if;
  -- A found table whose events would outlive their user.
  if not exists (
    select from pg_constraint
    where conrelid = 'public.token_events'::regclass and contype = 'f' and confdeltype = 'c'
      and confrelid = 'public.user_profiles'::regclass
  ) then
    alter table public.token_events
    add constraint token_events_user_profile_fkey
    foreign key (user_id) references public.user_profiles (id) on delete cascade not valid;
  end if;
end;
$$;
