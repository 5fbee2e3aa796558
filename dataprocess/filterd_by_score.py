"""Keep the captions that the judge marked well.

python dataprocess/filterd_by_score.py --data-folder ./Output/Caption --min-overall 3 --min-dim-score 3
"""

import _repository  # noqa: F401

from MetaCaptioner.filter import main
from MetaCaptioner.utils.cli import run_main

if __name__ == "__main__":
    run_main(main)
