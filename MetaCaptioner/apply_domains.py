"""Write the router's domains back into annotation files and a new Metafile.

    python dataprocess/apply_domains.py --domain-folder Output/Domain --metafile data/Metafile.json \
        --output-dir data/routed --min-confidence 0.7

A row that was routed with enough confidence gets `task`, `subdomain` and `task_confidence`. Other rows stay as they
were (the caption stage routes rows without a task itself), or are left out with --drop-uncertain.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from MetaCaptioner.agents.prompts import PromptsOption, load_prompts
from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.errors import UserError
from MetaCaptioner.export.routed import Routes, apply, output_names
from MetaCaptioner.stages.next_commands import to_plan
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import complain, run_main, say
from MetaCaptioner.utils.common_options import MetafileOption
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.next_command import tell_next
from MetaCaptioner.utils.options import Flag, option
from MetaCaptioner.utils.options_sources import read


class ApplyOptions(MetafileOption, PromptsOption):
    """Whose domains are written, and where to."""

    command: ClassVar[str] = "apply"

    domain_folder: Path = option(..., "folder of route results", Flag("FOLDER"))
    output_dir: Path = option(..., "where annotation files and Metafile.json go", Flag("FOLDER"))
    min_confidence: float = option(0.7, "lowest confidence that counts, 0 to 1", Flag("SHARE"), ge=0, le=1)
    drop_uncertain: bool = option(False, "leave out rows below it or without a route")


OPTIONS = ApplyOptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the routed annotation files and their Metafile."""
    options = read(OPTIONS, arguments, "Write the router's domains back into annotation files.")
    routes = Routes(options.domain_folder)
    datasets, problems = read_metafile(options.metafile, load_prompts(options.prompts_dir).domains)
    for problem in problems:
        complain(problem)
    entries = {}
    names = output_names(datasets)
    sources = {options.metafile.resolve(), *(dataset.annotation.resolve() for dataset in datasets.values())}
    for target in (options.output_dir / name for name in (*names.values(), "Metafile.json")):
        if target.resolve() in sources:
            raise UserError(f"{target} is one of the files to read; choose another --output-dir")
    for name, file_name in names.items():
        dataset = datasets[name]
        output = options.output_dir / file_name
        applied = apply(name, dataset, routes, output, options.min_confidence, options.drop_uncertain)
        left = "left out" if options.drop_uncertain else "left as they were"
        say(f"{output}: {applied.routed} rows routed, {applied.uncertain} {left}")
        count = dataset.sample_count
        entries[name] = {
            "root": str(dataset.root),
            "annotation": file_name,
            "length": applied.written,
            "task": dataset.task or "auto",
            "sample_count": applied.written if count is None else min(count, applied.written),
            "modality": dataset.modality,
        }
    metafile = options.output_dir / "Metafile.json"
    with atomic_write(metafile, "Metafile") as file:
        file.write(to_json(entries, indent=2) + b"\n")
    say(f"{metafile}: {len(entries)} datasets")
    tell_next(to_plan(metafile, options))
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
