"""Proves on a live database that nobody reads or writes another user's row.

`supabase/access.toml` declares who may do what; this package holds a database to it, by doing
it (in transactions that are rolled back) and by reading the catalog.
"""
