-- Reverses: migrations/20261101000200_create_position_calculation_function.sql
-- Locks: none that a running app would notice
set local lock_timeout = '5s';

drop function if exists public.calculate_user_positions(uuid);
