-- Purpose: the app's profiles, one for each signed-up user, as the app's first release
--          made them.
-- Objects: table public.user_profiles; function public.handle_new_user(); trigger
--          on_auth_user_created on auth.users.
-- Note:    part of the stand-in for a deployed app, not of the rollout. Its policies are
--          written as such apps write them, not as this project would.

create table public.user_profiles (
  id uuid primary key references auth.users (id) on delete cascade,
  display_name text,
  role text default 'user' check (role in ('user', 'admin')),
  status text default 'active' check (status in ('active', 'disabled')),
  last_login timestamptz,
  tariff_settings jsonb default '{"rate": 1444.70, "currency": "IDR"}'::jsonb,
  created_at timestamptz default now(),
  updated_at timestamptz default now()
);

comment on table public.user_profiles is 'One row per user of the app.';

alter table public.user_profiles enable row level security;

create policy "Users can view own profile"
on public.user_profiles for select
using (auth.uid() = id);

create policy "Users can insert own profile"
on public.user_profiles for insert
with check (auth.uid() = id);

create policy "Users can update own profile"
on public.user_profiles for update
using (auth.uid() = id);

grant select, insert, update on public.user_profiles to authenticated;
grant select, insert, update, delete on public.user_profiles to service_role;

create function public.handle_new_user()
returns trigger
language plpgsql
security definer
set search_path = public
as $function$
begin
  insert into public.user_profiles (id, display_name)
  values (new.id, coalesce(new.raw_user_meta_data ->> 'display_name', new.email));
  return new;
end
$function$;

create trigger on_auth_user_created
after insert on auth.users
for each row execute function public.handle_new_user();
