"""A PostgreSQL of one's own: found or unpacked, started, stopped and thrown away."""
