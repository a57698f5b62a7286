"""The score of the isolation proof: what it says of a database that was weakened on purpose."""
