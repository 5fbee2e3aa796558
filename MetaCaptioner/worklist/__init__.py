"""What a rank still has to do: rows of a plan, or earlier captions."""
