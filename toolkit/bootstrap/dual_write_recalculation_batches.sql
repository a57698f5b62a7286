-- Purpose: the app's record of recalculations, in the shape of a dual-write deployment.
-- Objects: table public.recalculation_batches, its index, policies and grants.
-- Note:    part of the stand-in for a deployed app, not of the rollout: a key on id alone.

create table public.recalculation_batches (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references public.user_profiles (id) on delete cascade,
  trigger_type text not null check (
    trigger_type in ('BACKDATE_TOPUP', 'EDIT_TOPUP', 'DELETE_TOPUP', 'MANUAL_CORRECTION')
  ),
  trigger_event_id uuid,
  affected_events jsonb not null,
  events_count integer not null,
  can_rollback_until timestamptz default (now() + interval '24 hours'),
  rolled_back_at timestamptz,
  rollback_reason text,
  created_by uuid,
  created_at timestamptz default now()
);

comment on table public.recalculation_batches is 'What a back-dated or edited top-up changed.';

create index recalculation_batches_user_id_created_at_idx
on public.recalculation_batches (user_id, created_at desc);

alter table public.recalculation_batches enable row level security;

create policy "Users can view own batches"
on public.recalculation_batches for select
using (auth.uid() = user_id);

create policy "Users can insert own batches"
on public.recalculation_batches for insert
with check (auth.uid() = user_id);

create policy "Users can update own batches"
on public.recalculation_batches for update
using (auth.uid() = user_id);

grant select, insert, update on public.recalculation_batches to authenticated;
grant select, insert, update, delete on public.recalculation_batches to service_role;
