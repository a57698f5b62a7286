-- Purpose: phase 2, the live computation of one user's positions.
-- Objects: public.calculate_user_positions(uuid)
-- Locks: none
-- Rollback: rollbacks/20261101000200_create_position_calculation_function.sql
set local lock_timeout = '5s';

-- Security invoker: row level security decides whose events there are to compute from, so a user
-- who asks for another user's positions gets nothing.
create or replace function public.calculate_user_positions(p_user_id uuid)
returns table (
  event_id uuid,
  user_id uuid,
  event_type text,
  event_date timestamptz,
  kwh_amount numeric,
  token_cost numeric,
  notes text,
  meter_photo_url text,
  calculated_position numeric,
  daily_consumption numeric,
  is_topup boolean,
  created_at timestamptz
)
language sql
stable
security invoker
set search_path = ''
as $$
  with
  -- Each counted event as an anchor (what the meter showed) or a step (kWh added), in order.
  counted as (
    select
      e.*,
      case e.event_type when 'METER_READING' then e.kwh_amount else e.observed_kwh end as anchor_kwh,
      case e.event_type when 'METER_READING' then 0 else e.kwh_amount end as step_kwh
    from public.token_events as e
    where e.user_id = calculate_user_positions.p_user_id
      and not e.is_voided
      and e.event_type <> 'VOID'
  ),
  -- Island n holds the n-th anchor and the steps up to the next one; island 0 starts from 0 kWh.
  islands as (
    select
      c.*,
      count(c.anchor_kwh) over (
        order by c.event_date, c.created_at, c.id rows unbounded preceding
      ) as island
    from counted as c
  ),
  positions as (
    select
      i.*,
      sum(coalesce(i.anchor_kwh, i.step_kwh)) over (
        partition by i.island order by i.event_date, i.created_at, i.id rows unbounded preceding
      ) as position_kwh
    from islands as i
  )
  select
    p.id,
    p.user_id,
    p.event_type,
    p.event_date,
    p.kwh_amount,
    p.token_cost,
    p.notes,
    p.meter_photo_url,
    p.position_kwh,
    case
      when p.anchor_kwh is not null
      then lag(p.position_kwh) over (order by p.event_date, p.created_at, p.id)
        + p.step_kwh - p.anchor_kwh
    end,
    p.event_type = 'TOPUP',
    p.created_at
  from positions as p
  order by p.event_date, p.created_at, p.id;
$$;
comment on function public.calculate_user_positions(uuid) is
  'kWh left after each counted event of one user, and what was used up to each anchor (kWh)';
revoke all on function public.calculate_user_positions(uuid)
from public, anon, authenticated, service_role;
grant execute on function public.calculate_user_positions(uuid) to authenticated, service_role;
