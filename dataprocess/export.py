"""Turn captions into training data.

python dataprocess/export.py --data-folder Output/Caption --format conversations --output data/captioned
python dataprocess/export.py --data-folder Output/Caption --format txt --output data/txt   (or --beside)
python dataprocess/export.py --data-folder Output/Caption --format huggingface --output data/hub
"""

import _repository  # noqa: F401

from MetaCaptioner.export.command import main
from MetaCaptioner.utils.cli import run_main

if __name__ == "__main__":
    run_main(main)
