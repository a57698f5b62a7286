-- Before rejects are looked at again: live writers of these users are done, and later ones wait.
select ledger.take_turns(array_agg(distinct x.user_id))
from ledger.migration_rejects as x
where x.reading_id in (select unnest(%(reading_ids)s::uuid[])) and x.user_id is not null
having count(*) > 0
