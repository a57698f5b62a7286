"""The handler verify_readings: see main.py."""
