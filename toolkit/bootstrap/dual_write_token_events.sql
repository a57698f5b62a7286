-- Purpose: the events table of a deployment whose app writes each fact twice.
-- Objects: table public.token_events, its indexes, policies and grants.
-- Note:    part of the stand-in for a deployed app, not of the rollout: a key on id alone,
--          a foreign key that names no user, grants that let clients change everything.

create table public.token_events (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  event_type text not null
  check (event_type in ('TOPUP', 'METER_READING', 'ADJUSTMENT', 'VOID')),
  event_date timestamptz not null,
  kwh_amount numeric(10, 2) not null,
  token_cost numeric(12, 2),
  notes text,
  meter_photo_url text,
  is_voided boolean default false,
  voided_at timestamptz,
  voided_by uuid,
  voided_reason text,
  void_of_event uuid references public.token_events (id),
  recalc_batch_id uuid,
  created_by uuid,
  metadata jsonb,
  created_at timestamptz default now()
);

comment on table public.token_events is 'Top-ups, meter readings, corrections and their voids.';

create index token_events_user_id_event_date_idx
on public.token_events (user_id, event_date desc);

create index token_events_user_id_active_idx
on public.token_events (user_id, event_date) where is_voided = false;

create index token_events_event_type_idx on public.token_events (event_type);

create index token_events_void_of_event_idx on public.token_events (void_of_event);

create index token_events_recalc_batch_id_idx on public.token_events (recalc_batch_id);

alter table public.token_events enable row level security;

create policy "Users can view own events"
on public.token_events for select
using (auth.uid() = user_id);

create policy "Users can insert own events"
on public.token_events for insert
with check (auth.uid() = user_id);

create policy "Users can update own events"
on public.token_events for update
using (auth.uid() = user_id);

grant select, insert, update on public.token_events to authenticated;
grant select, insert, update, delete on public.token_events to service_role;
