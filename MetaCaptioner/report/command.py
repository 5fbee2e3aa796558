"""Make one HTML page that shows a run: marks, routing, errors, costs, and samples with their captions.

    python dataprocess/report.py --data-folder Output/Caption                              -> Output/Caption/report.html
    python dataprocess/report.py --data-folder Output/Caption --compare Output/Caption2    two runs over the same data

The page holds all that it needs: it can be copied, mailed and opened anywhere. Its figures are over all records; its
gallery is a choice of them.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.report.collect import Run, collect
from MetaCaptioner.report.page import render
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import command_line, run_main, say
from MetaCaptioner.utils.safe_open import add_outside_argument

_MOST_SAMPLES = 1000


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        BadArguments: a value is out of range.
    """
    parser = command_line("Make one HTML page that shows a run.")
    parser.add_argument("--data-folder", type=Path, required=True, help="folder of caption results")
    parser.add_argument("--score-folder", type=Path, help="folder of score results (default: DATA_FOLDER/score)")
    parser.add_argument(
        "--domain-folder", type=Path, help="folder of route results (default: Domain beside DATA_FOLDER)"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="FOLDER", help="caption results of another run over the same data"
    )
    parser.add_argument("--output", type=Path, help="the page to write (default: DATA_FOLDER/report.html)")
    parser.add_argument("--gallery", type=int, default=300, help=f"most samples to show, up to {_MOST_SAMPLES}")
    parser.add_argument("--min-overall", type=float, default=3.0, help="where the slider stands at first")
    parser.add_argument("--min-dim-score", type=int, default=3, help="where the slider stands at first")
    add_outside_argument(parser)
    options = parser.parse_args(arguments)
    for name in ("min_overall", "min_dim_score"):
        if not 1 <= getattr(options, name) <= 5:
            raise BadArguments(f"--{name.replace('_', '-')} must be from 1 to 5")
    if not 0 <= options.gallery <= _MOST_SAMPLES:
        raise BadArguments(f"--gallery must be from 0 to {_MOST_SAMPLES}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and name it."""
    options = parse(arguments)
    folder: Path = options.data_folder
    run = Run(folder, options.score_folder or folder / "score", options.domain_folder)
    other = None if options.compare is None else Run(options.compare, options.compare / "score")
    thresholds = {"overall": options.min_overall, "lowest": options.min_dim_score}
    data = collect(run, other, options.gallery, thresholds, options.allow_outside_root)
    page = render(data, f"Captions of {folder}")
    output: Path = options.output or folder / "report.html"
    with atomic_write(output, "report") as file:
        file.write(page)
    say(f"{output}: {len(page) / 1e6:.1f} MB, {len(data['gallery'])} samples shown; open it in a browser")
    return 0


if __name__ == "__main__":
    run_main(main)
