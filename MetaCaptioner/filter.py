"""Keep the captions that the judge marked well.

    python dataprocess/filterd_by_score.py --data-folder ./Output/Caption --min-overall 3 --min-dim-score 3
        --min-dim-score accuracy=4

Writes filtered/kept.jsonl, filtered/rejected.jsonl (each record says why) and filtered/summary.json under the data
folder, or into --output-dir; export.py finds either. Every caption record ends in exactly one of the two; of one that
was sampled again, the best caption does. The summary tells as well what the captions have cost, from the run logs
beside the results.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

from MetaCaptioner.agents.thresholds import ThresholdOptions
from MetaCaptioner.errors import UserError
from MetaCaptioner.stages.filtering import (
    describe_checked,
    describe_cost,
    describe_judged,
    describe_resampled,
    filter_captions,
)
from MetaCaptioner.stages.next_commands import tell_to_take_out
from MetaCaptioner.utils.cli import note, run_main, say
from MetaCaptioner.utils.common_options import DataFolderOption, SingleLaunchOption
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.utils.options_sources import read

_LOCK = ".filter.lock"


class FilterOptions(DataFolderOption, ThresholdOptions, SingleLaunchOption):
    """What is filtered, and where it goes."""

    command: ClassVar[str] = "filter"

    score_folder: Path | None = option(None, "folder of score results (default: DATA_FOLDER/score)", Flag("FOLDER"))
    domain_folder: Path | None = option(
        None, "route results, whose cost counts too (default: Domain beside DATA_FOLDER)", Flag("FOLDER")
    )
    output_dir: Path | None = option(None, "default: DATA_FOLDER/filtered", Flag("FOLDER"))


OPTIONS = FilterOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Filter and tell what was kept."""
    options = read(OPTIONS, arguments, "Keep the captions that the judge marked well.")
    thresholds = options.thresholds()
    output = options.output_dir or options.data_folder / "filtered"
    with ExitStack() as stack:
        try:  # two at once would leave what one has kept beside what the other has rejected
            stack.enter_context(held_alone(output / _LOCK, f"output {output}", not options.single_launch))
        except OSError as error:
            raise UserError(f"output {output}: cannot be written: {error.strerror or error}") from error
        content = filter_captions(
            options.data_folder,
            options.score_folder or options.data_folder / "score",
            options.domain_folder or options.data_folder.absolute().parent / "Domain",
            output,
            thresholds,
        )
    say(f"{output}: kept {content['kept']} of {content['total']} captions")
    if content["without_media"]:
        note(f"{content['without_media']} rows without media are left out")
    if content["duplicates"]:
        note(
            f"{content['duplicates']} records of samples that have another one are passed over "
            "(metacaptioner verify names them, --mend moves them aside)"
        )
    if content["gone"]:
        note(f"{content['gone']} captions of media that are gone are left out")
    for line in describe_judged(content):
        note(line)
    for reason, count in content["reasons"].items():
        say(f"  {count:>7}  {reason}")
    for line in (*describe_checked(content), *describe_resampled(content), *describe_cost(content)):
        say(line)
    tell_to_take_out(options.data_folder, content["kept"], options)
    return 0


if __name__ == "__main__":
    run_main(main)
