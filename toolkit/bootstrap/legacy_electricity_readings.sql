-- Purpose: the app's readings, the legacy table that the rollout moves into events.
-- Objects: table public.electricity_readings, its index, policies and grants.
-- Note:    part of the stand-in for a deployed app, not of the rollout.

create table public.electricity_readings (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  date date not null,
  kwh_value numeric(10, 2) not null check (kwh_value >= 0),
  token_amount numeric,
  token_cost numeric,
  notes text,
  meter_photo_url text,
  created_at timestamptz default now()
);

comment on table public.electricity_readings is 'What the meter showed, and top-ups, by day.';

create index electricity_readings_user_id_date_idx
on public.electricity_readings (user_id, date desc);

alter table public.electricity_readings enable row level security;

create policy "Users can view own readings"
on public.electricity_readings for select
using (auth.uid() = user_id);

create policy "Users can insert own readings"
on public.electricity_readings for insert
with check (auth.uid() = user_id);

create policy "Users can update own readings"
on public.electricity_readings for update
using (auth.uid() = user_id);

create policy "Users can delete own readings"
on public.electricity_readings for delete
using (auth.uid() = user_id);

grant select, insert, update, delete on public.electricity_readings
to authenticated, service_role;
