"""Prove that every sample of a plan has exactly one record.

python dataprocess/verify.py --plan data/split_plan.jsonl --data-folder Output/Caption
"""

import _repository  # noqa: F401

from MetaCaptioner.utils.cli import run_main
from MetaCaptioner.verify import main

if __name__ == "__main__":
    run_main(main)
