"""From staging to production: receipts of proven rollouts, and the run that demands one."""
