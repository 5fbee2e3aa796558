"""Metafile and annotation files -> `Sample`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from MetaCaptioner.domains import ROUTED_TASKS, Domain, Modality, find_domain
from MetaCaptioner.errors import UserError
from MetaCaptioner.source import MediaSource, TarPlace, check_name, tar_place

TaskSource = Literal["metafile", "row", "router"]


class Dataset(BaseModel):
    """One entry of the Metafile. `root` and `annotation` are absolute once `read_metafile` returns it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    root: Path
    annotation: Path
    length: int | None = Field(default=None, ge=0)
    task: str = ""
    sample_count: int | None = Field(default=None, ge=0)
    modality: Modality = "image"

    @model_validator(mode="before")
    @classmethod
    def _required_paths(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for name in ("root", "annotation"):
                if name in values and not values[name]:
                    raise ValueError(f"'{name}' is empty")
        return values

    def under(self, folder: Path) -> Self:
        """The same entry with relative paths taken from `folder`."""
        return self.model_copy(update={"root": folder / self.root, "annotation": folder / self.annotation})


def first_problem(error: ValidationError) -> str:
    """The first complaint of pydantic as `field: what is wrong`."""
    problem = error.errors(include_url=False)[0]
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
        UserError: it is missing, unreadable or no JSON (the message gives line and column).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_duplicates)
    except _DuplicateKeyError as error:
        raise UserError(f"{what} {path}: the name '{error}' is there twice") from error
    except OSError as error:
        raise UserError(f"{what} {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path}: is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise UserError(f"{what} {path}: line {error.lineno}, column {error.colno}: {error.msg}") from error


def read_metafile(path: Path, domains: Iterable[Domain]) -> tuple[dict[str, Dataset], list[str]]:
    """The sound datasets of a Metafile by name, and one line for each broken one.

    Raises:
        UserError: the Metafile as a whole is missing or not a JSON object.
    """
    entries = read_json(path, "Metafile")
    if not isinstance(entries, dict) or not entries:
        raise UserError(f"Metafile {path}: must be a JSON object, dataset name -> entry, with at least one dataset")
    folder = path.resolve().parent
    known = tuple(domains)
    datasets: dict[str, Dataset] = {}
    problems: list[str] = []
    for name, entry in entries.items():
        try:
            dataset = Dataset.model_validate(entry).under(folder)
            if dataset.task.strip().casefold() not in ROUTED_TASKS:
                find_domain(dataset.task, known)
        except ValidationError as error:
            problems.append(f"Metafile {path}: dataset '{name}': {first_problem(error)}")
        except ValueError as error:
            problems.append(f"Metafile {path}: dataset '{name}': {error}")
        else:
            datasets[name] = dataset
    return datasets, problems


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
    problem_kind: str = "bad_row"
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


def media_source(root: Path, media_name: str, tar: TarPlace | None) -> MediaSource:
    """Where media lie that a row names so."""
    return MediaSource(root / media_name) if tar is None else MediaSource(root / tar.file, media_name, tar)


class AnnotationRow(BaseModel):
    """What is read of a row of an annotation file; other keys are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    id: str | int | float | None = None
    image: str | None = None
    video: str | None = None
    task: str | None = None
    width: int | None = None
    height: int | None = None
    tar: Annotated[TarPlace | None, PlainValidator(tar_place)] = None

    @model_validator(mode="after")
    def _one_medium(self) -> Self:
        media = [name for name in ("image", "video") if getattr(self, name) is not None]
        if len(media) != 1:
            raise ValueError("needs 'image' or 'video'" if not media else "has both 'image' and 'video'")
        check_name(getattr(self, media[0]), media[0])
        return self


MOST_PIXELS_A_SIDE = 2**31
_Side = Annotated[int, msgspec.Meta(ge=0, le=MOST_PIXELS_A_SIDE)]


class PlainRow(msgspec.Struct, gc=False):
    """The fields of `AnnotationRow`, of a row in which nothing is unusual."""

    id: str | int | float | None = None
    image: str | None = None
    video: str | None = None
    task: str | None = None
    width: _Side | None = None
    height: _Side | None = None
    tar: TarPlace | None = None


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
    names = [row.image if row.video is None else row.video if row.image is None else None for row in rows]
    named = [name for name in names if name and name.strip()]
    joined = "\n".join(named)
    return rows if len(named) == len(rows) and "://" not in joined and "\0" not in joined else None


def sample_from_row(
    row: object, data_name: str, index: int, root: Path, modality: Modality, task: str, domains: Iterable[Domain]
) -> Sample:
    """Make the `Sample` of one parsed row; whatever is wrong with the row ends up in `problem`."""
    try:
        if not isinstance(row, dict):
            raise ValueError(f"is {type(row).__name__}, not a JSON object")
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
            media_name=parsed.image or parsed.video or "",
            modality="image" if parsed.image is not None else "video",
            task=domain,
            task_source=task_source if domain else "router",
            row_id=parsed.id,
            width=parsed.width,
            height=parsed.height,
            tar=parsed.tar,
        )
    named = row if isinstance(row, dict) else {}
    media_name = named.get("image") or named.get("video") or ""
    row_id = named.get("id")
    if isinstance(row_id, float) and not math.isfinite(row_id):
        row_id = None
    return Sample(
        data_name=data_name,
        index=index,
        root=root,
        media_name=media_name if isinstance(media_name, str) else "",
        modality=modality,
        row_id=row_id if isinstance(row_id, str | int | float) else None,
        problem=f"row {index}: {problem}",
    )
