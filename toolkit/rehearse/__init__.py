"""Rehearses the rollout on a copy of the user's own data, on this machine only."""
