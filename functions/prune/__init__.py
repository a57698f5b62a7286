"""The handler prune: see main.py."""
