"""Metafile and annotation files -> `Sample`."""

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from MetaCaptioner.annotation_row import (
    MOST_PIXELS_A_SIDE,
    AnnotationRow,
    named_medium,
    names_media,
    sound_id,
    without_media,
)
from MetaCaptioner.domains import ROUTED_TASKS, Domain, Modality, find_domain
from MetaCaptioner.errors import BAD_ROW, NO_MEDIA, UserError
from MetaCaptioner.source import MediaSource, TarPlace, is_content
from MetaCaptioner.source import media_source as media_source
from MetaCaptioner.spelling import find, local_name

_SURELY_MEANT = 0.8
"""How alike (`difflib`) a key must be to one that an entry lacks, to be refused for it."""
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
    """One entry of the Metafile. `root` and `annotation` are absolute once `read_metafile` returns it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    root: _Place
    annotation: _Place
    length: int | None = Field(default=None, ge=0)
    task: str = ""
    sample_count: int | None = Field(default=None, ge=0)
    modality: Modality = "image"

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: Any) -> Any:
        return (
            {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values
        )

    def under(self, folder: Path) -> Self:
        """The same entry with relative paths taken from `folder`, as they are spelt there (see `spelling`)."""
        places = {name: find(folder, str(getattr(self, name))) for name in ("root", "annotation")}
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


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic as `field: what is wrong`."""
    return _problems(error)[0]


def _problems(error: ValidationError) -> list[str]:
    return [_told(problem) for problem in error.errors(include_url=False)]


def _told(problem: ErrorDetails) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if problem["type"] == "missing" else f" (got {problem['input']!r:.60})"
    return f"{where}: {message}{got}" if where else message


class _DuplicateKeyError(Exception):
    """A JSON object has a name twice, of which the first would be lost."""


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKeyError(next(name for name in names if names.count(name) > 1))
    return made


def read_json(path: Path, what: str) -> Any:
    """Parse the JSON file `path`; `what` names it in errors.

    Raises:
        UserError: it is missing, unreadable or no JSON (the message gives line and column). UTF-16 is read too.
    """
    try:
        return json.loads(path.read_bytes(), object_pairs_hook=_without_duplicates)
    except _DuplicateKeyError as error:
        raise UserError(f"{what} {path}: the name '{error}' is there twice") from error
    except OSError as error:
        raise UserError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path}: is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        more = " (more than one JSON value?)" if error.msg == "Extra data" else ""
        raise UserError(f"{what} {path}: line {error.lineno}, column {error.colno}: {error.msg}{more}") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, or lists in lists without end
        raise UserError(f"{what} {path}: cannot be read: {error}") from error


def metafile_digest(path: Path) -> str:
    """Sixteen hexadecimal digits that change with what a Metafile says, or with the size of an annotation file of it.

    Raises:
        UserError: it is missing, unreadable or no JSON.
    """
    entries, folder = read_json(path, "Metafile"), path.resolve().parent
    sizes: dict[str, int] = {}
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        annotation = _named_place(entry.get("annotation"), folder) if isinstance(entry, dict) else None
        with suppress(OSError, ValueError):
            sizes[name] = annotation.stat().st_size if annotation is not None else 0
    content = json.dumps([entries, sizes], sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()[:16]


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
        problems += _problems(error)
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
    try:
        return bool(name.strip()) and bool(name.encode())
    except UnicodeEncodeError:  # half of a pair of surrogates, which no file can hold
        return False


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


@dataclass(frozen=True)
class Sample:
    """One item to work on.

    `task` is the name of a domain, or None where the router decides. `problem` says what is wrong with the row; such
    a sample ends as an error record of the kind `problem_kind`. `tar` is for media that are members of a tar file;
    `media_name` is then the member's name.

    Of a sample with an earlier result `fields` are the texts that prompts may use by name, such as the earlier caption,
    and `carried` is what its record takes over, such as where that came from. `unseen` is set where nobody will look at
    the media, which are then left alone: it is the hash that the earlier record has of them.
    """

    data_name: str
    index: int
    root: Path
    media_name: str
    modality: Modality
    task: str | None = None
    task_source: TaskSource = "router"
    row_id: object = None
    width: int | None = None
    height: int | None = None
    tar: TarPlace | None = None
    problem: str | None = None
    problem_kind: str = BAD_ROW
    fields: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, object] = field(default_factory=dict)
    unseen: str | None = None

    @property
    def sample_id(self) -> str:
        """The identity of the sample: dataset name and index in its annotation file."""
        return f"{self.data_name}/{self.index}"

    @property
    def source(self) -> MediaSource:
        return media_source(self.root, self.media_name, self.tar)


_WHOLE = msgspec.Meta(ge=0, le=MOST_PIXELS_A_SIDE, multiple_of=1)
_Side = Annotated[int, _WHOLE] | Annotated[float, _WHOLE]


class PlainRow(msgspec.Struct, gc=False):
    """The fields of `AnnotationRow`, of a row in which nothing is unusual; it may name no media."""

    id: str | int | float | None = None
    image: str | None = None
    video: str | None = None
    task: str | None = None
    width: _Side | None = None
    height: _Side | None = None
    tar: TarPlace | None = None
    images: None = None
    videos: None = None

    @property
    def media_name(self) -> str:
        return self.image or self.video or ""


_PLAIN_ROW = msgspec.json.Decoder(PlainRow)


def glance(texts: Sequence[bytes]) -> list[PlainRow] | None:
    """The rows in `texts` if all are plainly sound (but for `task`, which is not looked at); else None.

    It is some twenty times faster than parsing each and making a `Sample` of it, which decides where this says None.
    """
    try:
        for text in texts:
            if not text.isascii():
                text.decode()  # msgspec does not look into the texts that it passes over
        rows = [_PLAIN_ROW.decode(text) for text in texts]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if any(row.image and row.video for row in rows):
        return None
    names = [name for row in rows if (name := row.image or row.video)]
    joined = "\n".join(names)
    is_odd = "file:" in joined or "://" in joined or "\0" in joined or not all(map(str.strip, names))
    return None if is_odd or any(map(is_content, names)) else rows


def sample_from_row(
    row: object, data_name: str, index: int, root: Path, modality: Modality, task: str, domains: Iterable[Domain]
) -> Sample:
    """Make the `Sample` of one parsed row; whatever is wrong with the row ends up in `problem`."""
    kind = BAD_ROW
    try:
        if not isinstance(row, dict):
            raise ValueError(_no_object(row))
        if not names_media(row):
            kind = NO_MEDIA
            raise ValueError(without_media(row))
        parsed = AnnotationRow.model_validate(row)
        task_source: TaskSource = "row" if parsed.task is not None else "metafile"
        wanted = task if parsed.task is None else parsed.task
        domain = None if wanted.strip().casefold() in ROUTED_TASKS else find_domain(wanted, domains).name
    except ValidationError as error:
        problem = first_problem(error)
    except ValueError as error:
        problem = str(error)
    else:
        return Sample(
            data_name=data_name,
            index=index,
            root=root,
            media_name=parsed.media_name,
            modality=parsed.modality,
            task=domain,
            task_source=task_source if domain else "router",
            row_id=parsed.id,
            width=parsed.width,
            height=parsed.height,
            tar=parsed.tar,
        )
    named = row if isinstance(row, dict) else {}
    return Sample(
        data_name=data_name,
        index=index,
        root=root,
        media_name=_name_of_bad(named),
        modality=modality,
        row_id=sound_id(named.get("id")),
        problem=f"row {index}: {problem}",
        problem_kind=kind,
    )


def _name_of_bad(row: Mapping[str, object]) -> str:
    """The one medium that a bad row names, if that can be told."""
    with suppress(ValueError):
        name = named_medium(row, "image") or named_medium(row, "video") or ""
        return "" if is_content(name) else name
    return ""


def _no_object(row: object) -> str:
    """What a row is that is no object; of a line that is no JSON also why."""
    told = f"is {type(row).__name__}, not a JSON object"
    if not isinstance(row, str):
        return told
    try:
        json.loads(row)
    except (ValueError, RecursionError) as error:
        why = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        return f"{told} ({why}: {row[:40]!r})"
    if "\ufffd" in row:  # it would be JSON, but for the bytes in whose place these are
        return "is no UTF-8 text (is the file Windows text? `iconv -f CP1252 -t UTF-8 IN > OUT` makes it so)"
    return told
