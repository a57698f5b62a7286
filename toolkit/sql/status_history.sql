-- Which files the Supabase CLI takes for applied.
select h.version
from supabase_migrations.schema_migrations as h
order by h.version
