"""Make an annotation file and its Metafile entry of data as they are.

    python dataprocess/build_metafile.py --format folder --input data/photos --metafile data/Metafile.json
    python dataprocess/build_metafile.py --format webdataset --input 'data/shards/train-{000000..000099}.tar' …
    python dataprocess/build_metafile.py --format huggingface --input user/name --split train …
    python dataprocess/build_metafile.py --format table --input data/paths.csv --root /data/media …
    python dataprocess/build_metafile.py --format coco --input data/captions_train2017.json --root data/train2017 …
    python dataprocess/build_metafile.py --format questions --input MMMU_DEV_VAL.tsv --split validation …

The annotation file goes beside the Metafile, which is made or gets one more dataset. Captions that are there already
become the gpt turn.
"""

import re
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import ClassVar, Self

from pydantic import model_validator

from MetaCaptioner.agents.prompts import PromptsOption, load_prompts
from MetaCaptioner.data.conversation import INSTRUCTION
from MetaCaptioner.data.inputs.base import Given, Input, Notes
from MetaCaptioner.data.inputs.build import LONGEST_STEM, Written, write_annotation
from MetaCaptioner.data.inputs.registry import FORMATS
from MetaCaptioner.data.metafile import add_entry, check_free, read_entries, relative_to
from MetaCaptioner.data.taxonomy import ROUTED_TASKS, find_domain
from MetaCaptioner.errors import BadArguments, UserError
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS, benchmark_of
from MetaCaptioner.stages.next_commands import to_plan
from MetaCaptioner.utils.atomic_io import NotWritten
from MetaCaptioner.utils.cli import complain, note, run_main, say
from MetaCaptioner.utils.common_options import OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.file_names import shortened
from MetaCaptioner.utils.locks import check_kept
from MetaCaptioner.utils.next_command import tell_next
from MetaCaptioner.utils.options import Flag, Options, option
from MetaCaptioner.utils.options_sources import read


class DatasetOptions(Options):
    """What a dataset is called, and where in the input its parts are."""

    heading: ClassVar[str] = "input"

    name: str | None = option(None, "of the dataset (default: that of the input)")
    task: str | None = option(None, "the domain of all of it (default: auto)", Flag("DOMAIN"))
    root: Path | None = option(
        None, "webdataset, table, coco, questions: what the paths are relative to", Flag("FOLDER")
    )
    media_column: str | None = option(
        None, "huggingface, table: a, or a.b in a (default: one with a usual name or type)", Flag("NAME")
    )
    caption_column: str | None = option(
        None, "column or .json field of captions (default: caption, captions, text)", Flag("NAME")
    )
    id_column: str | None = option(None, "column or .json field of ids (default: id)", Flag("NAME"))
    split: str | None = option(None, "huggingface, questions: (default: the only one)", Flag("NAME"))
    subset: str | None = option(None, "huggingface: its configuration", Flag("NAME"))


class BuildOptions(DatasetOptions, PromptsOption, OutsideOption, SingleLaunchOption):
    """What a dataset is made of, and where it goes."""

    command: ClassVar[str] = "build"

    format: str = option(..., "what the input is", Flag(choices=tuple(FORMATS)))
    input: str = option(..., "folder, file, pattern or name", Flag("PLACE", may_be_path=True))
    metafile: Path = option(..., "made, or extended by this dataset", Flag("FILE"))
    update: bool = option(False, "a dataset of this name: its rows keep their numbers")
    replace: bool = option(False, "a dataset of this name (its results no longer fit)")
    instruction: str = option(INSTRUCTION, "what the human turn asks, where there is a caption", Flag("TEXT"))
    benchmark: str | None = option(
        None,
        "questions: whose rules mark the answers (default: by the name of the input)",
        Flag(choices=tuple(BENCHMARKS)),
    )
    shard_megabytes: int | None = option(
        None, f"huggingface, questions: size of a shard that it is packed into (default: {Given.shard_megabytes})", ge=1
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = FORMATS[self.format]
        own = {field.name for field in fields(Given) if field.default is None or field.name == "shard_megabytes"}
        for flag in sorted(own - kind.flags):
            if getattr(self, flag) is not None:
                raise BadArguments(f"--{flag.replace('_', '-')} says nothing to --format {self.format}")
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"--root {self.root}: there is no such folder")
        if self.update and self.replace:
            raise BadArguments("--update keeps the rows that --replace makes anew; say one of the two")
        if self.update and not kind.can_update:
            raise BadArguments(
                f"--update cannot be done to --format {self.format}: build what is new under another --name"
            )
        return self


_KINDS = "\n".join(f"  {name:<12} {kind.about}" for name, kind in FORMATS.items())
_ABOUT = f"Make an annotation file and its Metafile entry. Formats:\n{_KINDS}"
OPTIONS = BuildOptions


def _given(options: BuildOptions, pack_in: Path) -> Given:
    said = {field.name: getattr(options, field.name, None) for field in fields(Given)}
    if options.format == "questions":
        said["benchmark"] = options.benchmark or benchmark_of(options.name or Path(options.input).name)
    named = {name: value for name, value in said.items() if value is not None}
    return Given(place=options.input, pack_in=pack_in, **named)


def _check_task(options: BuildOptions) -> None:
    if options.task is not None and options.task.strip().casefold() not in ROUTED_TASKS:
        try:
            find_domain(options.task, load_prompts(options.prompts_dir).domains)
        except ValueError as error:
            raise BadArguments(f"--task: {error}") from error


def _name(options: BuildOptions) -> tuple[str, str]:
    """The dataset's name, and the beginning of the names of its files."""
    place = Path(options.input).absolute()
    beginning = place.name if place.is_dir() else re.split(r"[{*?]", place.name)[0].removesuffix(place.suffix)
    name = options.name or beginning.rstrip("-_")
    stem = shortened(re.sub(r"[^\w.-]+", "_", name).strip("._-"), LONGEST_STEM)
    if not stem:
        raise BadArguments("give the dataset a --name with a letter or digit in it")
    return name, stem


def _old_entry(metafile: Path, name: str, annotation: Path) -> dict[str, object]:
    """The entry of the dataset that is to be updated.

    Raises:
        UserError: there is none, or its annotation file is not one that this script wrote.
    """
    entry = read_entries(metafile).get(name)
    if not isinstance(entry, dict):
        raise UserError(f"Metafile {metafile}: has no dataset '{name}' to update; build it without --update")
    if not _names(metafile, entry, annotation):
        raise UserError(f"Metafile {metafile}: dataset '{name}': --update needs the file that was built, {annotation}")
    return entry


def _names(metafile: Path, entry: dict[str, object], annotation: Path) -> bool:
    """Whether an entry of the Metafile has that annotation file."""
    return (metafile.parent / str(entry.get("annotation"))).resolve() == annotation.resolve()


def _entry(options: BuildOptions, found: Input, annotation: Path, written: Written) -> dict[str, object]:
    return {
        "root": relative_to(options.metafile.parent, found.root),
        "annotation": annotation.name,
        "length": written.rows,
        "task": options.task or "auto",
        "sample_count": written.rows,
        "modality": written.modalities.most_common(1)[0][0],
        **({"questions": found.questions.name} if found.questions else {}),
    }


def _check_before(options: BuildOptions, name: str, annotation: Path) -> dict[str, object]:
    """The entry that is updated, or none.

    Raises:
        UserError: the name is taken or, for an update, is not.
    """
    if options.update:
        return _old_entry(options.metafile, name, annotation)
    entries = read_entries(options.metafile)
    check_free(options.metafile, name, entries, options.replace)
    for other, entry in entries.items():
        if other != name and isinstance(entry, dict) and _names(options.metafile, entry, annotation):
            raise UserError(f"{annotation} is that of dataset '{other}'; take another --name than '{name}'")
    if annotation.exists() and not options.replace:
        raise UserError(f"{annotation} is there already; take another --name, or --replace it")
    return {}


def _check_locks(metafile: Path, single_launch: bool) -> None:
    """Find out before the work whether the Metafile can be held while it is extended.

    Raises:
        UserError: it cannot, or nothing can be written there.
    """
    try:
        metafile.parent.mkdir(parents=True, exist_ok=True)
        if not single_launch:
            check_kept(metafile.parent, f"Metafile {metafile}")
    except OSError as error:
        raise NotWritten(f"Metafile {metafile}: cannot be written: {error.strerror}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the two files and tell what was found; status 1 where a part of the input cannot be read."""
    options = read(OPTIONS, arguments, _ABOUT)
    _check_task(options)
    name, stem = _name(options)
    folder = options.metafile.parent
    annotation = folder / f"{stem}.jsonl"
    old = _check_before(options, name, annotation)
    _check_locks(options.metafile, options.single_launch)
    is_replaced = options.replace and annotation.exists()
    notes = Notes()
    found = FORMATS[options.format].open(_given(options, folder.absolute() / stem), notes)
    root = relative_to(folder, found.root)
    if old and (folder / str(old.get("root"))).resolve() != found.root.resolve():
        raise UserError(
            f"dataset '{name}' has the root {old.get('root')}, the input {root}: --update needs the same one"
        )
    written = write_annotation(annotation, found, options.instruction, notes, options.update)
    entry = _entry(options, found, annotation, written)
    if old:
        is_limited = old.get("sample_count") != old.get("length")
        kept = {**old, "task": options.task or old.get("task", "auto"), "root": old["root"]}
        entry = {**entry, **kept, "length": written.rows, "modality": entry["modality"]}
        entry["sample_count"] = old.get("sample_count") if is_limited else written.rows
    add_entry(options.metafile, name, entry, options.replace or options.update, options.single_launch)
    if is_replaced:
        notes.tell(f"'{name}' was made anew: results so far are of other rows: --redo makes those again")
    for line in notes.lines():
        note(line)
    for problem in notes.problems:
        complain(problem)
    kinds = ", ".join(f"{count} {kind}s" for kind, count in written.modalities.items())
    say(f"{options.metafile}: dataset '{name}': {kinds}, {written.captions} with a caption, in {annotation}")
    tell_next(to_plan(options.metafile, options))
    return 1 if notes.problems else 0


if __name__ == "__main__":
    run_main(main)
