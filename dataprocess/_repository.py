"""Imported first by the scripts beside it: makes the package importable from a checkout, wherever they are started."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
