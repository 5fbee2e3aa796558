"""Ranks as tasks of SLURM's jobs: submits a chain of stages, runs the ranks of one, has it started again."""
