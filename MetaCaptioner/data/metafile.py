"""The Metafile: which datasets there are, where they lie and what they are of; read, and added to."""

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from MetaCaptioner.data.taxonomy import ROUTED_TASKS, Domain, Modality, find_domain
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write
from MetaCaptioner.utils.file_names import shortened
from MetaCaptioner.utils.json_file import read_json
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.locks import held_alone
from MetaCaptioner.utils.path_spelling import find, local_name
from MetaCaptioner.utils.text import is_whole
from MetaCaptioner.utils.validation import all_problems

_SURELY_MEANT = 0.8
"""How alike (`difflib`) a key must be to one that an entry lacks, to be refused for it."""
_LONGEST_NAME_BYTES = 240  # file systems take names of 255, and a dot and a suffix stand around it
TaskSource = Literal["metafile", "row", "router"]


def _place(value: object, info: ValidationInfo) -> object:
    """A path, or a `file:` address as a path.

    Raises:
        ValueError: it is empty, or another address.
    """
    if isinstance(value, str) and not value.strip():
        raise ValueError(f"'{info.field_name}' is empty")
    if isinstance(value, list):
        raise ValueError(f"a dataset has one {info.field_name}; make a dataset of each")
    return local_name(value) if isinstance(value, str) else value


_Place = Annotated[Path, BeforeValidator(_place)]


class Dataset(BaseModel):
    """One entry of the Metafile; its places are absolute once `read_metafile` returns it.

    `questions` are about its media, for `evaluate`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    root: _Place
    annotation: _Place
    length: int | None = Field(default=None, ge=0)
    task: str = ""
    sample_count: int | None = Field(default=None, ge=0)
    modality: Modality = "image"
    questions: _Place | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return (
            {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values
        )

    def under(self, folder: Path) -> Self:
        """The same entry with relative paths taken from `folder`, as they are spelt there (see `spelling`)."""
        named = {name: getattr(self, name) for name in ("root", "annotation", "questions")}
        places = {name: find(folder, str(place)) for name, place in named.items() if place is not None}
        return self.model_copy(update=places)

    def unknown_keys(self) -> list[str]:
        """Keys that are left alone, each with the known one that may have been meant."""
        return [_with_suggestion(key) for key in self.model_extra or ()]


def _suggestion(key: str) -> str | None:
    """The key of an entry that an unknown one comes near to: one that it has as a word, or nearly is."""
    words = re.split(r"[\W_]+", key.casefold())
    named = [known for known in Dataset.model_fields if known in words]
    return next(iter(named or difflib.get_close_matches(key.casefold(), list(Dataset.model_fields), n=1)), None)


def _with_suggestion(key: str) -> str:
    known = _suggestion(key)
    return f"'{key:.60}'" + (f" (do you mean '{known}'?)" if known else "")


def _misspelt(key: str, entry: Mapping[str, object]) -> bool:
    """Whether an unknown key is all but surely one that the entry lacks."""
    lacking = [known for known in Dataset.model_fields if known not in entry]
    return bool(difflib.get_close_matches(key.casefold(), lacking, n=1, cutoff=_SURELY_MEANT))


def metafile_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that change with what a Metafile says, or with the size of an annotation file of it.

    Raises:
        UserError: it is missing, unreadable or no JSON.
    """
    read, folder = read_json(path, "Metafile"), path.resolve().parent
    entries = {name: _in_order(entry) for name, entry in read.items()} if isinstance(read, dict) else {}
    sizes: dict[str, int] = {}
    for name, entry in entries.items():
        annotation = _named_place(entry.get("annotation"), folder) if isinstance(entry, dict) else None
        with suppress(OSError, ValueError):
            sizes[name] = annotation.stat().st_size if annotation is not None else 0
    content = to_json([_in_order(entries), _in_order(sizes)], nan=True)
    return hashlib.sha256(content).hexdigest()[:16]


def _in_order(value: object) -> object:
    """An object with its names in alphabetical order, which says the same; anything else as it is."""
    return dict(sorted(value.items())) if isinstance(value, dict) else value


def read_metafile(path: Path, domains: Iterable[Domain]) -> tuple[dict[str, Dataset], list[str]]:
    """The sound datasets of a Metafile by name, and one line for each broken one, with all that is wrong with it.

    Raises:
        UserError: the Metafile as a whole is missing or not a JSON object.
    """
    entries = read_json(path, "Metafile")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"Metafile {path}: must be a JSON object, dataset name -> entry, with at least one dataset")
    if all(isinstance(entries.get(name), str) for name in ("root", "annotation")):
        raise UserError(f'Metafile {path}: is one entry; put it under the name of its dataset: {{"NAME": {{…}}}}')
    folder = path.resolve().parent
    known = tuple(domains)
    datasets: dict[str, Dataset] = {}
    broken: list[str] = []
    for name, entry in entries.items():
        problems = _problems_of_entry(name, entry, known)
        if not problems:
            dataset = Dataset.model_validate(entry).under(folder)
            problems = [
                f"{what} {place}: is no UTF-8 text, so that no plan can name it; rename it"
                for what, place in (("root", dataset.root), ("annotation", dataset.annotation))
                if not _is_text(str(place))
            ]
        if not problems:
            datasets[name] = dataset
            continue
        problems += _problems_of_places(entry, folder)
        broken.append(f"Metafile {path}: dataset '{name}': {'; '.join(problems)}")
    return datasets, broken


def _problems_of_entry(name: str, entry: object, domains: Sequence[Domain]) -> list[str]:
    """All that is wrong with an entry as it stands in the Metafile."""
    problems: list[str] = []
    if not _is_text(name):
        problems.append("the name of a dataset must be text that is not blank")
    if not isinstance(entry, dict):
        return [*problems, f'must be an object such as {{"root": …, "annotation": …}} (got {entry!r:.60})']
    try:
        Dataset.model_validate(entry)
    except ValidationError as error:
        problems += all_problems(error)
    if isinstance(task := entry.get("task", ""), str) and task.strip().casefold() not in ROUTED_TASKS:
        try:
            find_domain(task, domains)
        except ValueError as error:
            problems.append(str(error))
    unknown = [key for key in entry if key not in Dataset.model_fields]
    if problems or any(_misspelt(key, entry) for key in unknown):
        problems += [f"unknown key {_with_suggestion(key)}" for key in unknown if _suggestion(key)]
    return problems


def _is_text(name: str) -> bool:
    return bool(name.strip()) and is_whole(name)


def _problems_of_places(entry: object, folder: Path) -> list[str]:
    """What else is wrong with a broken entry: places that are not there."""
    given = entry if isinstance(entry, dict) else {}
    problems = []
    if (root := _named_place(given.get("root"), folder)) is not None and not is_folder(root):
        problems.append(f"root {root} is not a folder")
    annotation = _named_place(given.get("annotation"), folder)
    if annotation is not None and not os.path.exists(annotation):  # noqa: PTH110 Path.exists fails on odd names
        problems.append(f"annotation file {annotation}: there is no such file")
    return problems


def _named_place(value: object, folder: Path) -> Path | None:
    """The place that an entry names; None where that is no name or an address, which is told already."""
    if not isinstance(value, str) or not value.strip():
        return None
    with suppress(ValueError):
        local_name(value)
        return find(folder, value)
    return None


def is_folder(path: Path) -> bool:
    """Whether there is such a folder, whatever the name."""
    return os.path.isdir(path)  # noqa: PTH112 Path.is_dir fails on odd names


def read_entries(metafile: Path) -> dict[str, object]:
    """The datasets of a Metafile, none where there is no such file yet.

    Raises:
        UserError: it is no Metafile.
    """
    entries = read_json(metafile, "Metafile") if metafile.exists() else {}
    if not isinstance(entries, dict):
        raise UserError(f"Metafile {metafile}: must be a JSON object, dataset name -> entry")
    return entries


def add_entry(metafile: Path, name: str, entry: dict[str, object], replaces: bool, single_launch: bool = False) -> None:
    """Put one dataset into the Metafile, which other processes may be adding to.

    Raises:
        UserError: the name is taken (unless it `replaces` that), or the file cannot be written.
    """
    try:
        lock = metafile.with_name(f".{shortened(metafile.name, _LONGEST_NAME_BYTES)}.lock")
        with held_alone(lock, f"Metafile {metafile}", not single_launch):
            entries = read_entries(metafile)
            check_free(metafile, name, entries, replaces)
            with atomic_write(metafile, "Metafile") as file:
                file.write(to_json({**entries, name: entry}, indent=2) + b"\n")
    except OSError as error:
        raise NotWritten(f"Metafile {metafile}: cannot be written: {error.strerror}") from error


def check_free(metafile: Path, name: str, entries: dict[str, object], replaces: bool) -> None:
    """Refuse a name that is taken.

    Raises:
        UserError: it is.
    """
    if name in entries and not replaces:
        raise UserError(
            f"Metafile {metafile}: dataset '{name}' is there already; --update keeps its rows and adds what is new, "
            "--replace makes it anew (its results then fit no longer), or take another --name"
        )


def relative_to(folder: Path, path: Path) -> str:
    """The path as the Metafile names it: from its folder if it lies below, so that both can be moved."""
    absolute = folder.absolute()
    return path.relative_to(absolute).as_posix() if path.is_relative_to(absolute) else str(path)
