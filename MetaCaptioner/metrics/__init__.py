"""What a run did: tokens, seconds, run log."""
