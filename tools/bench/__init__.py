"""The performance table: every figure is a ratio of two things measured in one run, in turns.

Read in this order: `measure` (what a figure is), `stage` (server, data, users), then the
subjects `moving`, `reading`, `serving` (through PostgREST), `writing`, `scheduled`, and what
becomes of the figures: `targets`, `report`, `plots`.
"""
