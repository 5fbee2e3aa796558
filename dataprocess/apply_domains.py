"""Write the router's domains back into annotation files and a new Metafile.

    python dataprocess/apply_domains.py --domain-folder Output/Domain --metafile data/Metafile.json \
        --output-dir data/routed --min-confidence 0.7
"""

import sys

try:
    from MetaCaptioner.__main__ import run_script
except ModuleNotFoundError:
    sys.exit("error: this Python lacks MetaCaptioner; use .venv/bin/python (bash script/setup.sh makes it)")

if __name__ == "__main__":
    run_script("apply")
