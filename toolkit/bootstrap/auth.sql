-- Purpose: the part of Supabase's auth schema that an application's tables and policies
--          lean on: its users, and who is asking.
-- Objects: schema auth; table auth.users; functions auth.jwt(), uid(), role(), email().
-- Locks:   brief ones on the catalog.
-- Note:    the sign-in server's other tables and columns are not here. What is there already,
--          as in Supabase's own image, stays as it is; grants are only added.

create schema if not exists auth authorization supabase_admin;
grant usage on schema auth to postgres, anon, authenticated, service_role;

do $auth$
begin
  if to_regclass('auth.users') is null then
    create table auth.users (
      id uuid primary key,
      aud text,
      role text,
      email text,
      phone text,
      encrypted_password text,
      email_confirmed_at timestamptz,
      last_sign_in_at timestamptz,
      raw_app_meta_data jsonb,
      raw_user_meta_data jsonb,
      is_anonymous boolean not null default false,
      deleted_at timestamptz,
      created_at timestamptz default now(),
      updated_at timestamptz default now()
    );

    comment on table auth.users is 'Who can sign in; written by the sign-in server.';
    alter table auth.users owner to supabase_admin;
    alter table auth.users enable row level security;
  end if;

  -- The REST server puts the verified token's claims into request.jwt.claims; versions
  -- before 9 put each into a setting of its own. After a reset, both are '' and not null.
  if to_regprocedure('auth.jwt()') is null then
    create function auth.jwt()
    returns jsonb
    language sql
    stable
    parallel safe
    as $function$
      select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
      )::jsonb
    $function$;
    comment on function auth.jwt() is 'All claims of the token of the request; null without one.';
  end if;

  if to_regprocedure('auth.uid()') is null then
    create function auth.uid()
    returns uuid
    language sql
    stable
    parallel safe
    as $function$
      select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')
      )::uuid
    $function$;
    comment on function auth.uid() is 'The signed-in user of the request; null without one.';
  end if;

  if to_regprocedure('auth.role()') is null then
    create function auth.role()
    returns text
    language sql
    stable
    parallel safe
    as $function$
      select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
      )
    $function$;
    comment on function auth.role() is 'The database role that the token of the request names.';
  end if;

  if to_regprocedure('auth.email()') is null then
    create function auth.email()
    returns text
    language sql
    stable
    parallel safe
    as $function$
      select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
      )
    $function$;
    comment on function auth.email() is 'The signed-in user''s e-mail address.';
  end if;
end
$auth$;

-- The role that migrates may reference users, hang triggers on them, and manage them.
grant select, insert, update, delete, references, trigger on table auth.users to postgres;

grant execute on function auth.jwt(), auth.uid(), auth.role(), auth.email()
to postgres, anon, authenticated, service_role;
