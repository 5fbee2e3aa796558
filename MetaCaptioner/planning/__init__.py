"""Cost, survey, shards, leases, and what remains to be done."""
