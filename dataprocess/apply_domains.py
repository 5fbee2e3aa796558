"""Write the router's domains back into annotation files and a new Metafile.

    python dataprocess/apply_domains.py --domain-folder Output/Domain --metafile data/Metafile.json \
        --output-dir data/routed --min-confidence 0.7

A row that was routed with enough confidence gets `task`, `subdomain` and `task_confidence`. Other rows stay as they
were (the caption stage routes rows without a task itself), or are left out with --drop-uncertain.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import _repository  # noqa: F401
from exporting.names import file_names

from MetaCaptioner.annotation import AnnotationFile
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.files import atomic_write
from MetaCaptioner.json_text import to_json
from MetaCaptioner.metafile import Dataset, read_metafile
from MetaCaptioner.named_media import OTHER_MEDIA, RowMedia, of_record
from MetaCaptioner.Prompt import load_prompts
from MetaCaptioner.record import is_error, told_of
from MetaCaptioner.results import read_records, result_files
from MetaCaptioner.terminal import run_main, say


@dataclass(frozen=True)
class Route:
    """What the router said of one row, and the media that it saw."""

    media: str | None
    task: str
    subdomain: str
    confidence: float


@dataclass(frozen=True)
class Applied:
    """How many rows of a dataset were routed, and how many were left as they were or left out."""

    routed: int
    uncertain: int
    written: int


def read_routes(folder: Path, data_name: str) -> dict[int, Route]:
    """The routes of one dataset by row index; failed ones are left out.

    Raises:
        UserError: the folder holds records of another stage.
    """
    routes: dict[int, Route] = {}
    for path, _ in result_files(folder):
        for record in read_records(path):
            if record.get("data_name") != data_name or is_error(record):
                continue
            if "task_confidence" not in record or "subdomain" not in record:
                which = f"{path.name}, {record['sample_id']}"
                raise UserError(f"domain folder {folder}: holds records that are no routes ({which})")
            media = of_record(told_of(record))
            routes[record["index"]] = Route(media, record["task"], record["subdomain"], record["task_confidence"])
    return routes


def apply(
    dataset: Dataset, routes: Mapping[int, Route], output: Path, min_confidence: float, drop_uncertain: bool
) -> Applied:
    """Write the annotation file of one dataset again, as a JSON list, with the routes in its rows.

    Raises:
        UserError: a route is of other media than its row names now; nothing is written.
    """
    annotation = AnnotationFile(dataset.annotation)
    _check_media(RowMedia(annotation), routes)
    routed = uncertain = written = 0

    def rows() -> Iterator[object]:
        nonlocal routed, uncertain
        for index, row in annotation.rows(0, len(annotation)):
            route = routes.get(index)
            if route is not None and route.confidence >= min_confidence and isinstance(row, dict):
                routed += 1
                sure = {"task": route.task, "subdomain": route.subdomain, "task_confidence": route.confidence}
                yield {**row, **sure}
            else:
                uncertain += 1
                if not drop_uncertain:
                    yield row

    with atomic_write(output, "annotation file") as file:
        for row in rows():
            file.write(b"[\n" if written == 0 else b",\n")
            file.write(to_json(row, nan=True))
            written += 1
        file.write(b"\n]\n" if written else b"[]\n")
    annotation.close()
    return Applied(routed, uncertain, written)


def _check_media(media: RowMedia, routes: Mapping[int, Route]) -> None:
    unlike = [row for row, route in routes.items() if route.media is not None and route.media != media.of(row)]
    if unlike:
        row = min(unlike)
        raise UserError(
            f"annotation file {media.annotation.path}: {len(unlike)} of {len(routes)} routes are {OTHER_MEDIA}, such as"
            f" row {row}: {media.of(row)}, routed as {routes[row].media}; route again with --redo"
        )


def output_names(datasets: Mapping[str, Dataset]) -> dict[str, str]:
    """A file name for every dataset: that of its annotation file, with the dataset's name where two would clash."""
    stems = Counter(dataset.annotation.stem for dataset in datasets.values())
    wanted = {
        name: dataset.annotation.stem if stems[dataset.annotation.stem] == 1 else f"{name}\0{dataset.annotation.stem}"
        for name, dataset in datasets.items()
    }
    made = file_names(wanted.values())
    return {name: f"{made[label]}.json" for name, label in wanted.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the routed annotation files and their Metafile."""
    parser = argparse.ArgumentParser(description="Write the router's domains back into annotation files.")
    parser.add_argument("--domain-folder", type=Path, required=True, help="folder of route results")
    parser.add_argument("--metafile", type=Path, required=True, help="the Metafile that was routed")
    parser.add_argument("--output-dir", type=Path, required=True, help="where annotation files and Metafile.json go")
    parser.add_argument("--min-confidence", type=float, default=0.7, help="lowest confidence that counts, 0 to 1")
    parser.add_argument("--drop-uncertain", action="store_true", help="leave out rows below it or without a route")
    parser.add_argument("--prompts-dir", type=Path, help="the prompt files that the routing used, if it did")
    options = parser.parse_args(arguments)
    if not 0 <= options.min_confidence <= 1:
        raise BadArguments("--min-confidence must be from 0 to 1")
    if not result_files(options.domain_folder):
        raise UserError(f"domain folder {options.domain_folder}: holds no route results (Rank*_node*_*.jsonl)")
    datasets, problems = read_metafile(options.metafile, load_prompts(options.prompts_dir).domains)
    for problem in problems:
        say(f"error: {problem}")
    entries = {}
    names = output_names(datasets)
    sources = {options.metafile.resolve(), *(dataset.annotation.resolve() for dataset in datasets.values())}
    for target in (options.output_dir / name for name in (*names.values(), "Metafile.json")):
        if target.resolve() in sources:
            raise UserError(f"{target} is one of the files to read; choose another --output-dir")
    for name, file_name in names.items():
        dataset = datasets[name]
        routes = read_routes(options.domain_folder, name)
        applied = apply(dataset, routes, options.output_dir / file_name, options.min_confidence, options.drop_uncertain)
        left = "left out" if options.drop_uncertain else "left as they were"
        say(f"{options.output_dir / file_name}: {applied.routed} rows routed, {applied.uncertain} {left}")
        count = dataset.sample_count
        entries[name] = {
            "root": str(dataset.root),
            "annotation": file_name,
            "length": applied.written,
            "task": dataset.task or "auto",
            "sample_count": applied.written if count is None else min(count, applied.written),
            "modality": dataset.modality,
        }
    with atomic_write(options.output_dir / "Metafile.json", "Metafile") as file:
        file.write(to_json(entries, indent=2) + b"\n")
    return 1 if problems else 0


if __name__ == "__main__":
    run_main(main)
