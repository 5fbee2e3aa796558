"""Prove that every sample of a plan has exactly one record.

python dataprocess/verify.py --plan data/split_plan.jsonl --data-folder Output/Caption
"""

import sys

try:
    from MetaCaptioner.__main__ import run_script
except ModuleNotFoundError:
    sys.exit("error: this Python lacks MetaCaptioner; use .venv/bin/python (bash script/setup.sh makes it)")

if __name__ == "__main__":
    run_script("verify")
