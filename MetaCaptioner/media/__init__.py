"""A source -> a decoded picture or frames, right or refused."""
