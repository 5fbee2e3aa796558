"""What every kind of input comes down to: pictures and clips, one by one, and notes of what was left out."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from conversation import turns
from PIL import Image

from MetaCaptioner.domains import Modality
from MetaCaptioner.media import IMAGE_FORMATS
from MetaCaptioner.source import TarPlace

IMAGE_SUFFIXES = frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in IMAGE_FORMATS)
VIDEO_SUFFIXES = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ogv"),
        *(".ts", ".mts", ".m2ts"),
    )
)
SUFFIXES: dict[Modality, frozenset[str]] = {"image": IMAGE_SUFFIXES, "video": VIDEO_SUFFIXES}
LONGEST_CAPTION_BYTES = 2**20

Row = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """What the user says of the input; each kind of input reads what concerns it.

    `place` is a path, a pattern or a name. `pack_in` is a folder that may be made for media that are in no files yet.
    """

    place: str
    pack_in: Path
    root: Path | None = None
    media_column: str | None = None
    caption_column: str | None = None
    id_column: str | None = None
    split: str | None = None
    subset: str | None = None
    shard_megabytes: int = 1000
    replace: bool = False


@dataclass(frozen=True)
class Found:
    """A picture or clip: the name that its row gives it, its id, where it lies in a tar file, its caption so far."""

    modality: Modality
    name: str
    row_id: str | int
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
    """What was left out, by reason and with the first example; `problems` are what should have been readable."""

    problems: list[str] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, str] = field(default_factory=dict)

    def left_out(self, reason: str, example: str) -> None:
        self._counts[reason] += 1
        self._examples.setdefault(reason, example)

    def lines(self) -> Iterator[str]:
        """A line for each reason."""
        for reason, count in self._counts.items():
            yield f"left out: {count} {reason} (first: {self._examples[reason]!r:.200})"


@dataclass(frozen=True)
class Input:
    """An input that was opened: the root below which its media lie, and its media, found as they are asked for."""

    root: Path
    items: Iterator[Found]


def modality_of(name: str) -> Modality | None:
    """What a file is by the end of its name; None where it is neither picture nor clip."""
    suffix = PurePosixPath(name).suffix.lower()
    return "image" if suffix in IMAGE_SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def caption_text(content: bytes, where: str, notes: Notes) -> str | None:
    """The caption in a text file; None where that is empty, no UTF-8, or too long to be one."""
    if len(content) > LONGEST_CAPTION_BYTES:
        notes.left_out(f"captions over {LONGEST_CAPTION_BYTES:,} bytes", where)
        return None
    try:
        return content.decode("utf-8-sig").strip() or None
    except UnicodeDecodeError:
        notes.left_out("captions that are no UTF-8 text", where)
        return None


def sound_id(value: object) -> str | int | None:
    """An id as rows have it; None where the value is none."""
    return value if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
