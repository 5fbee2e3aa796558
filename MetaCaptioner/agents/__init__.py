"""Prompts, workflow, router, captioner, judge: they know no ranks and no files."""
