"""What the tests share: servers, databases made from templates, and counted skips."""
