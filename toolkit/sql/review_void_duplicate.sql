-- The words by which the undoing of the data migration knows what was merged.
update public.token_events as e
set is_voided = true, voided_at = now(), voided_reason = 'merged into ' || %(reading_id)s::text
where e.user_id = %(user_id)s::uuid and e.id = %(event_id)s::uuid and not e.is_voided
