"""The handler refresh_readings: see main.py."""
