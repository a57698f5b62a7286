"""The handler health: see main.py."""
