"""A row of an annotation file -> `Sample`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, cast

import msgspec
from pydantic import ValidationError

from MetaCaptioner.data.annotation_row import (
    MOST_PIXELS_A_SIDE,
    AnnotationRow,
    named_medium,
    names_media,
    sound_id,
    without_media,
)
from MetaCaptioner.data.media_source import WHAT_TO_DO, MediaSource, TarPlace, is_content, media_source, name_outside
from MetaCaptioner.data.metafile import TaskSource
from MetaCaptioner.data.taxonomy import ROUTED_TASKS, Domain, Modality, find_domain
from MetaCaptioner.errors import ErrorKind
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON, from_json
from MetaCaptioner.utils.safe_open import leads_out
from MetaCaptioner.utils.validation import first_problem


@dataclass(frozen=True)
class Sample:
    """One item to work on.

    `task` is the name of a domain, or None where the router decides. `problem` says what is wrong with the row; such
    a sample ends as an error record of the kind `problem_kind`. `tar` is for media that are members of a tar file;
    `media_name` is then the member's name. Media outside `root` are read only if `allow_outside_root`.

    Of a sample with an earlier result `fields` are the texts that prompts may use by name, such as the earlier caption,
    and `carried` is what its record takes over, such as where that came from. `unseen` is set where nobody will look at
    the media, which are then left alone: it is the hash that the earlier record has of them, if there is one.
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
    problem_kind: ErrorKind = ErrorKind.BAD_ROW
    fields: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, object] = field(default_factory=dict)
    unseen: str | None = None
    allow_outside_root: bool = False

    @property
    def sample_id(self) -> str:
        """The identity of the sample: dataset name and index in its annotation file."""
        return f"{self.data_name}/{self.index}"

    @property
    def source(self) -> MediaSource:
        return media_source(self.root, self.media_name, self.tar, self.allow_outside_root)


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


def glance(texts: Sequence[bytes], root: Path | None = None) -> list[PlainRow] | None:
    """The rows in `texts` if all are plainly sound (but for `task`, which is not looked at); else None.

    With `root` a row that names media outside it is not sound.

    It is some twenty times faster than parsing each and making a `Sample` of it, which decides where this says None.
    """
    try:
        for text in texts:
            if not text.isascii():
                text.decode()  # msgspec does not look into the texts that it passes over
        rows = [_PLAIN_ROW.decode(text) for text in texts]
    except NOT_PLAIN_JSON:
        return None
    if any(row.image and row.video for row in rows):
        return None
    names = [name for row in rows if (name := row.image or row.video)]
    names += [row.tar.file for row in rows if row.tar is not None]
    joined = "\n".join(names)
    is_odd = "file:" in joined or "://" in joined or "\0" in joined or not all(map(str.strip, names))
    if is_odd or any(map(is_content, names)):
        return None
    may_lead_out = root is not None and (".." in joined or joined.startswith("/") or "\n/" in joined)
    return None if may_lead_out and any(leads_out(cast(Path, root), name) for name in names) else rows


def sample_from_row(
    row: object,
    data_name: str,
    index: int,
    root: Path,
    modality: Modality,
    task: str,
    domains: Iterable[Domain],
    allow_outside_root: bool = False,
) -> Sample:
    """Make the `Sample` of one parsed row; whatever is wrong with the row ends up in `problem`."""
    try:
        parsed = _checked(row)
        wanted = task if parsed.task is None else parsed.task
        domain = None if wanted.strip().casefold() in ROUTED_TASKS else find_domain(wanted, domains).name
    except (_BadRowError, ValueError) as error:
        named = row if isinstance(row, dict) else {}
        return Sample(
            data_name=data_name,
            index=index,
            root=root,
            media_name=_name_of_bad(named),
            modality=modality,
            row_id=sound_id(named.get("id")),
            problem=f"row {index}: {error}",
            problem_kind=error.kind if isinstance(error, _BadRowError) else ErrorKind.BAD_ROW,
        )
    task_source: TaskSource = "row" if parsed.task is not None else "metafile"
    outside = None if allow_outside_root else name_outside(root, parsed.media_name, parsed.tar)
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
        problem=None if outside is None else f"row {index}: {outside:.200} leads out of the root {root}; {WHAT_TO_DO}",
        problem_kind=ErrorKind.BAD_ROW if outside is None else ErrorKind.MEDIA_OUTSIDE_ROOT,
        allow_outside_root=allow_outside_root,
    )


class _BadRowError(Exception):
    """What is wrong with a row, with the kind of the record that it ends in."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def _checked(row: object) -> AnnotationRow:
    """The row, if it is one that names a medium.

    Raises:
        _BadRowError: it is not.
    """
    if not isinstance(row, dict):
        raise _BadRowError(ErrorKind.BAD_ROW, _no_object(row))
    try:
        if not names_media(row):
            raise _BadRowError(ErrorKind.NO_MEDIA, without_media(row))
        return AnnotationRow.model_validate(row)
    except ValidationError as error:
        raise _BadRowError(ErrorKind.BAD_ROW, first_problem(error)) from error
    except ValueError as error:
        raise _BadRowError(ErrorKind.BAD_ROW, str(error)) from error


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
        from_json(row)
    except ValueError as error:
        why = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else str(error)
        return f"{told} ({why}: {row[:40]!r})"
    if "\ufffd" in row:  # it would be JSON, but for the bytes in whose place these are
        return "is no UTF-8 text (is the file Windows text? `iconv -f CP1252 -t UTF-8 IN > OUT` makes it so)"
    return told
