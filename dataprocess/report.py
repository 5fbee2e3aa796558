"""Make one HTML page that shows a run: marks, routing, errors, costs, and samples with their captions.

python dataprocess/report.py --data-folder Output/Caption                              -> Output/Caption/report.html
python dataprocess/report.py --data-folder Output/Caption --compare Output/Caption2    two runs over the same data
"""

import sys

try:
    from MetaCaptioner.__main__ import run_script
except ModuleNotFoundError:
    sys.exit("error: this Python lacks MetaCaptioner; use .venv/bin/python (bash script/setup.sh makes it)")

if __name__ == "__main__":
    run_script("report")
