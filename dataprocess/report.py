"""Make one HTML page that shows a run: marks, routing, errors, costs, and samples with their captions.

python dataprocess/report.py --data-folder Output/Caption                              -> Output/Caption/report.html
python dataprocess/report.py --data-folder Output/Caption --compare Output/Caption2    two runs over the same data
"""

import _repository  # noqa: F401

from MetaCaptioner.report.command import main
from MetaCaptioner.utils.cli import run_main

if __name__ == "__main__":
    run_main(main)
