"""Datasets of other formats -> annotation files: one module a format."""
