"""The isolation proof through the real REST API, as the app's clients reach the database.

The same declaration as everywhere, driven with Supabase's own Python client by two users that
are made for it and removed again. What a probe writes is committed; it belongs to these two.
"""
