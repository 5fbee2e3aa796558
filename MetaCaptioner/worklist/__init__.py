"""What a rank still has to do: rows of a plan, earlier captions, or questions about them."""
