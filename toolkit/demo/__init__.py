"""The demonstration: a dual-write database like the field's, made from a seed, then rolled out.

`generator` says what is in it, `loading` puts it into a database, `expectation` says what the
migration must make of it; `run` does the whole and reports.
"""
