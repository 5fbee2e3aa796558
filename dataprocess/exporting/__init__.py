"""What `export.py` writes: a module for each format, all listed in `formats.py`."""
