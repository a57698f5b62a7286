"""Which environment a database is, what protects it, and what can be told of it."""
