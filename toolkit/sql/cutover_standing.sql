-- The cutover that stands, if one does.
select c.cutover_id, c.cut_over_at, c.cut_over_by, c.acknowledged, c.contracted_at, c.contracted_by
from ledger.cutovers as c
where c.cut_back_at is null
