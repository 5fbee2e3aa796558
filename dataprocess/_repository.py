"""Imported first by the scripts beside it: makes the package importable from a checkout, wherever they are started."""

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if importlib.util.find_spec("pydantic") is None or importlib.util.find_spec("PIL") is None:
    sys.exit("error: this Python lacks the program's packages; use .venv/bin/python (bash script/setup.sh makes it)")
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from MetaCaptioner.utils.import_path import leave_out_current_folder  # noqa: E402

if Path(sys.argv[0]).resolve().parent == ROOT / "dataprocess":  # not where another program imports what is here
    leave_out_current_folder()
