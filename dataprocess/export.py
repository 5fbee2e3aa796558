"""Turn captions into training data.

python dataprocess/export.py --data-folder Output/Caption --format conversations --output data/captioned
python dataprocess/export.py --data-folder Output/Caption --format txt --output data/txt   (or --beside)
python dataprocess/export.py --data-folder Output/Caption --format huggingface --output data/hub
"""

import sys

try:
    from MetaCaptioner.__main__ import run_script
except ModuleNotFoundError:
    sys.exit("error: this Python lacks MetaCaptioner; use .venv/bin/python (bash script/setup.sh makes it)")

if __name__ == "__main__":
    run_script("export")
