"""What any program needs: atomic files, locks, text, JSON, processes, command line. Knows no captions."""
