"""Starts ranks, on this machine or by SLURM, and watches over each."""
