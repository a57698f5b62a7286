-- Purpose: the schema that holds extensions, with pgcrypto and uuid-ossp where the server
--          comes with them.
-- Objects: schema extensions; extensions pgcrypto and uuid-ossp, or a stand-in for the
--          one function of uuid-ossp that applications use.
-- Locks:   brief ones on the catalog.

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to postgres, anon, authenticated, service_role;

do $extensions$
declare
  wanted text;
begin
  foreach wanted in array array['pgcrypto', 'uuid-ossp'] loop
    continue when not exists (
      select from pg_catalog.pg_available_extensions where name = wanted
    );
    begin
      execute format('create extension if not exists %I with schema extensions', wanted);
    exception
      -- One packaged server lists uuid-ossp without the library that it needs; the code of
      -- a failed load is whatever the system's loader left behind.
      when others then
        raise warning 'extension % is listed and cannot be loaded: %', wanted, sqlerrm;
    end;
  end loop;

  if to_regprocedure('extensions.uuid_generate_v4()') is null then
    execute $stand_in$
      create function extensions.uuid_generate_v4()
      returns uuid
      language sql
      volatile
      parallel safe
      set search_path = ''
      as 'select pg_catalog.gen_random_uuid()'
    $stand_in$;
    execute $comment$
      comment on function extensions.uuid_generate_v4() is
        'Stand-in: this server has no uuid-ossp. A random uuid of gen_random_uuid().'
    $comment$;
  end if;
end
$extensions$;
