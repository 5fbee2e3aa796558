"""Measurements: what the program reaches, and how fast."""
