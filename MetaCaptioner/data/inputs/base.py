"""What every kind of input comes down to: pictures and clips, one by one, and notes of what was left out."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from MetaCaptioner.data.conversation import turns
from MetaCaptioner.data.media_source import TarPlace
from MetaCaptioner.data.picture_formats import IMAGE_FORMATS
from MetaCaptioner.data.taxonomy import Modality

IMAGE_SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in IMAGE_FORMATS)
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"),
        *(".ts", ".mts", ".m2ts"),
    )
)
SUFFIXES: dict[Modality, frozenset[str]] = {"image": IMAGE_SUFFIXES, "video": VIDEO_SUFFIXES}

Row = dict[str, Any]
RowId = str | int | float


@dataclass(frozen=True)
class Given:
    """What the user says of the input; each kind of input reads what concerns it.

    `place` is a path, a pattern or a name. `pack_in` is a folder that may be made for media that are in no files yet.
    Files outside the root are taken only if `allow_outside_root`.
    """

    place: str
    pack_in: Path
    root: Path | None = None
    media_column: str | None = None
    caption_column: str | None = None
    id_column: str | None = None
    split: str | None = None
    subset: str | None = None
    benchmark: str | None = None
    shard_megabytes: int = 1000
    replace: bool = False
    allow_outside_root: bool = False


@dataclass(frozen=True)
class Found:
    """A picture or clip: the name that its row gives it, its id, where it lies in a tar file, its caption so far."""

    modality: Modality
    name: str
    row_id: RowId
    caption: str | None = None
    tar: TarPlace | None = None

    def row(self, instruction: str) -> Row:
        """The row of the annotation file; a caption becomes the gpt turn, `instruction` the human one."""
        row: Row = {"id": self.row_id, self.modality: self.name}
        if self.tar is not None:
            row["tar"] = asdict(self.tar)
        if self.caption is not None:
            row["conversations"] = turns(self.modality, instruction, self.caption)
        return row


@dataclass
class Notes:
    """What was left out or not taken as it stands, by reason and with the first example.

    `problems` are what should have been readable.
    """

    problems: list[str] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _examples: dict[tuple[str, str], str] = field(default_factory=dict)
    _told: list[str] = field(default_factory=list)

    def left_out(self, reason: str, example: str) -> None:
        self._count("left out: ", reason, example)

    def noted(self, reason: str, example: str) -> None:
        """Count something that costs no row and no caption, but was decided for the user."""
        self._count("", reason, example)

    def tell(self, line: str) -> None:
        """Say something of the input as a whole."""
        self._told.append(line)

    def lines(self) -> Iterator[str]:
        """What was told, then a line for each reason."""
        yield from self._told
        for (kind, reason), count in self._counts.items():
            yield f"{kind}{count} {reason} (first: {self._examples[kind, reason]!r:.200})"

    def _count(self, kind: str, reason: str, example: str) -> None:
        self._counts[kind, reason] += 1
        self._examples.setdefault((kind, reason), example)


@dataclass(frozen=True)
class Input:
    """An input that was opened: the root below which its media lie, and its media, found as they are asked for.

    `questions` is the file of the questions about them, where the input has some.
    """

    root: Path
    items: Iterator[Found]
    questions: Path | None = None


OUTSIDE = "names that lead out of the root, and links (--allow-outside-root takes them)"
"""The reason for what is left out of an input because of where it lies."""


def nothing_found(where: str, notes: Notes) -> str:
    """The complaint that an input has no media, with all reasons."""
    reasons = [*notes.problems, *notes.lines()]
    return f"{where}: no picture and no clip was found{''.join(f'; {reason}' for reason in reasons)}"


def modality_of(name: str) -> Modality | None:
    """What a file is by the end of its name; None where it is neither picture nor clip."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 a million names are looked at
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None
