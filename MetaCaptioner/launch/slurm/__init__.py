"""Ranks as tasks of SLURM's jobs: submits a chain of stages, runs the ranks of one, has it started again."""

from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
"""Where the scripts are that the jobs run."""
