"""Make one HTML page that shows a run: marks, routing, errors, costs, and samples with their captions.

    python dataprocess/report.py --data-folder Output/Caption                              -> Output/Caption/report.html
    python dataprocess/report.py --data-folder Output/Caption --compare Output/Caption2    two runs over the same data

The page holds all that it needs: it can be copied, mailed and opened anywhere. Its figures are over all records; its
gallery is a choice of them.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from MetaCaptioner.agents.thresholds import MarksOptions
from MetaCaptioner.report.collect import Run, collect
from MetaCaptioner.report.page import render
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import note, run_main, say
from MetaCaptioner.utils.common_options import DataFolderOption, OutsideOption
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.utils.options_sources import read

_MOST_SAMPLES = 1000


class ReportOptions(DataFolderOption, MarksOptions, OutsideOption):
    """What the page shows, and where it goes."""

    command: ClassVar[str] = "report"

    score_folder: Path | None = option(None, "folder of score results (default: DATA_FOLDER/score)", Flag("FOLDER"))
    domain_folder: Path | None = option(
        None, "folder of route results (default: Domain beside DATA_FOLDER)", Flag("FOLDER")
    )
    answers: Path | None = option(
        None, "answers to questions that evaluate has made (default: DATA_FOLDER/answers, if there)", Flag("FOLDER")
    )
    compare: Path | None = option(None, "caption results of another run over the same data", Flag("FOLDER"))
    output: Path | None = option(None, "the page to write (default: DATA_FOLDER/report.html)", Flag("FILE"))
    gallery: int = option(300, f"most samples to show, up to {_MOST_SAMPLES}", ge=0, le=_MOST_SAMPLES)


OPTIONS = ReportOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and name it."""
    options = read(OPTIONS, arguments, "Make one HTML page that shows a run.")
    folder: Path = options.data_folder
    run = Run(folder, options.score_folder or folder / "score", options.domain_folder, options.answers)
    other = None if options.compare is None else Run(options.compare, options.compare / "score")
    data = collect(run, other, options.gallery, options.marks(), options.allow_outside_root)
    for line in data["judges"]:
        note(line)
    page = render(data, f"Captions of {folder}")
    output: Path = options.output or folder / "report.html"
    with atomic_write(output, "report") as file:
        file.write(page)
    say(f"{output}: {len(page) / 1e6:.1f} MB, {len(data['gallery'])} samples shown; open it in a browser")
    return 0


if __name__ == "__main__":
    run_main(main)
