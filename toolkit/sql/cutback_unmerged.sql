-- Users, and those whose readings a cutback has yet to merge into the archived table.
select count(*) as users, count(*) filter (where m.version is distinct from h.version) as unmerged
from ledger.heads as h
left join ledger.cutback_marks as m on m.user_id = h.user_id
