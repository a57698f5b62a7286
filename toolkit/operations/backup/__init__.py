"""Backups that are proven: a dump, what it must restore to, and the restore that shows it."""
