"""What an operator does to a deployed database, one room a task."""
