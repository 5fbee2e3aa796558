"""Write the router's domains back into annotation files and a new Metafile.

    python dataprocess/apply_domains.py --domain-folder Output/Domain --metafile data/Metafile.json \
"""

import _repository  # noqa: F401

from MetaCaptioner.apply_domains import main
from MetaCaptioner.utils.cli import run_main

if __name__ == "__main__":
    run_main(main)
