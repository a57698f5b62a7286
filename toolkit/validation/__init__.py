"""Proves a rolled-out database: the checks, and a reference that shares no SQL with it."""
