"""Starts the ranks of a machine, and watches over each."""
