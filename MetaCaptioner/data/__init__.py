"""What comes in: Metafile, annotation rows, samples, domains, and where the bytes of their media lie."""
