"""Self-contained HTML pages: markup that escapes, the frame around it, and its style."""
