-- The same as rollback_staying_events, where there is no data migration to undo.
select
  (select count(*) from public.token_events) as events,
  0::bigint as written_since,
  (
    select count(*)
    from (select e.id from public.token_events as e group by e.id having count(*) > 1) as x
  ) as shared_ids
