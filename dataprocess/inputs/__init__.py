"""What `build_metafile.py` reads: a module for each kind of input, all listed in `formats.py`."""
