"""Random access to the rows of an annotation file, without reading the rest of it.

One pass over a file cuts it into blocks of whole rows, some 64 KiB each, and notes which row and which byte every block
begins with. For a large file that index is kept beside it (or in the user's cache, where the folder is read-only) and
used again as long as the file's size, time and samples of its content stay the same. A row is read by way of its block,
which is refused if it does not hold as many rows as the index says.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.data.annotation_blocks import (
    BOM,
    HEAD_BYTES,
    LONGEST_BLOCK_BYTES,
    BrokenAnnotation,
    behind_space,
    line_blocks,
    list_blocks,
    split_lines,
    split_list,
)
from MetaCaptioner.data.wrong_file_hints import only_object, other_kind
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write
from MetaCaptioner.utils.file_pool import PooledFile
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.locks import held_alone

INDEXED_FROM_BYTES = 32 * 2**20


_HEAD_LINES = 3
_INDEX_VERSION = 3
"""Of what an index vouches for: since 2 there is nothing behind the end of a list, since 3 it is of this content."""
_SAMPLED, _SAMPLE_BYTES = 16, 4 * 2**10
"""So many stretches of a file, its beginning and end among them, tell its content from another."""


class AnnotationFile:
    """The rows of one annotation file, a JSON list or JSONL.

    Raises:
        BrokenAnnotation: the file is missing, empty, of another kind, breaks off in a row, or goes on behind its list.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = PooledFile(path)
        except (OSError, ValueError) as error:  # a ValueError: the name can be no file's
            reason = str(error.strerror if isinstance(error, OSError) else error)
            if isinstance(error, IsADirectoryError):
                reason += " (make rows of what is in it: metacaptioner build --format folder …)"
            raise BrokenAnnotation(f"annotation file {path}: cannot be read: {reason}") from error
        status = self._file.status
        if status.st_size == 0:
            raise BrokenAnnotation(f"annotation file {path}: is empty")
        self._size = status.st_size
        head = self._read(HEAD_BYTES, 0)
        self._begin = len(BOM) if head.startswith(BOM) else 0
        if (kind := other_kind(path, head)) is not None:
            raise BrokenAnnotation(f"annotation file {path}: {kind}")
        self._is_list = self._first_byte() == b"["
        # (blocks + 1, 2): the row and the byte that each block begins with; last, the number of rows and the end.
        self._blocks = self._index(status.st_mtime_ns) if self._size >= INDEXED_FROM_BYTES else self._scan()
        self._last_read: tuple[int, list[bytes]] = (-1, [])
        if len(self) == 1 and not self._is_list and (kind := only_object(path, self.row(0))) is not None:
            raise BrokenAnnotation(f"annotation file {path}: {kind}")

    def __len__(self) -> int:
        return int(self._blocks[-1, 0])

    def blocks(self, start: int, end: int) -> Iterator[tuple[int, list[bytes]]]:
        """The own texts of the rows `start <= index < end`, many at a time, each time with the index of the first."""
        index = start
        while index < min(end, len(self)):
            first, texts = self._block_of(index)
            yield index, texts[index - first : end - first]
            index = first + len(texts)

    def rows(self, start: int, end: int) -> Iterator[tuple[int, object]]:
        """(index, parsed row) for `start <= index < end`; a JSONL line that is no JSON comes as its own text."""
        for first, texts in self.blocks(start, end):
            yield from enumerate(map(parse_row, texts), start=first)

    def row(self, index: int) -> object:
        """The parsed row `index`, or the raw text of a line that cannot be parsed.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        first, texts = self._block_of(index)
        return parse_row(texts[index - first])

    def block(self, index: int) -> tuple[int, list[bytes]]:
        """(index of the first row, own texts) of the rows that are read together with row `index`, which must be there.

        Raises:
            BrokenAnnotation: the file is no longer what it was when it was opened.
        """
        return self._block_of(index)

    def block_begin(self, index: int) -> int:
        """The index of the first row of that block, without reading it."""
        return int(self._blocks[self._block_number(index), 0])

    def close(self) -> None:
        self._file.close()

    def _block_number(self, index: int) -> int:
        return int(np.searchsorted(self._blocks[:, 0], index, side="right")) - 1

    def _read(self, count: int, offset: int) -> bytes:
        try:
            return self._file.read(count, offset)
        except OSError as error:
            raise BrokenAnnotation(f"annotation file {self.path}: cannot be read: {error.strerror}") from error

    def _first_byte(self) -> bytes:
        """The first one that is no white space; none in a file of nothing else."""
        place = behind_space(self._read, self._begin, self._size)
        return self._read(1, place)

    def _block_of(self, index: int) -> tuple[int, list[bytes]]:
        """(index of the first row, texts of all rows) of the block with row `index`; the last one read is kept.

        Raises:
            BrokenAnnotation: the file is no longer what it was when it was opened.
        """
        number = self._block_number(index)
        (first, begin), (behind, end) = self._blocks[number].tolist(), self._blocks[number + 1].tolist()
        if self._last_read[0] != first:
            data = self._read(end - begin, begin)
            texts = split_list(data) if self._is_list else split_lines(data)
            if len(texts) != behind - first:
                raise BrokenAnnotation(f"annotation file {self.path}: has changed while it was worked on")
            self._last_read = (first, texts)
        return self._last_read

    def _scan(self) -> NDArray[np.int64]:
        """Cut the file into blocks, reading all of it."""
        blocks = list_blocks if self._is_list else line_blocks
        found, rows, last_end = [], 0, self._begin
        for count, begin, end in blocks(self._read, self._begin, self._size, self.path):
            found.append((rows, begin))
            rows, last_end = rows + count, end
        return np.array([*found, (rows, last_end)], dtype=np.int64)

    def _index(self, changed_ns: int) -> NDArray[np.int64]:
        """The kept index if it still fits the file, else a new one, which is kept for the next time.

        Of many processes that need it at once, one makes it and the others wait. Where no place can be written, or the
        file system knows no locks, each makes its own.
        """
        belongs_to = _BelongsTo(self._size, changed_ns, self._content_mark())
        places = self._index_places()
        for place in places:
            if (kept := _load_index(place, belongs_to)) is not None:
                return kept
        blocks: NDArray[np.int64] | None = None
        for place in places:
            try:
                lock = place.with_name(f"{place.name}.lock")
                with held_alone(lock, f"an index of {self.path}", needed=False):
                    kept = _load_index(place, belongs_to)  # made by another while we waited
                    if kept is not None:
                        return kept
                    blocks = self._scan() if blocks is None else blocks
                    with atomic_write(place, "index") as file:
                        np.save(file, np.vstack([belongs_to.head(blocks), blocks]))
                    return blocks
            except (OSError, NotWritten):
                continue  # a read-only or full folder: the next place, or no index, which costs time only
        return self._scan() if blocks is None else blocks

    def _content_mark(self) -> int:
        """63 bits that stand for the content, by stretches that are spread evenly over the file."""
        content = hashlib.sha256()
        last = max(0, self._size - _SAMPLE_BYTES)
        for place in sorted({number * last // (_SAMPLED - 1) for number in range(_SAMPLED)}):
            content.update(self._read(_SAMPLE_BYTES, place))
        return _mark(content.digest())

    def _index_places(self) -> tuple[Path, Path]:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metacaptioner"
        name = hashlib.sha256(os.fsencode(self.path.resolve())).hexdigest()[:24]
        return self.path.with_name(f".{self.path.name}.blocks.npy"), cache / f"{name}.blocks.npy"


def parse_row(text: bytes) -> object:
    """The row in `text`; where that is no JSON, the text itself."""
    try:
        row: Any = from_json(text)
    except ValueError:
        return text.decode("utf-8", "replace")
    return row


@dataclass(frozen=True)
class _BelongsTo:
    """The file that an index is of: its size in bytes, its time (ns) and a mark of its content."""

    size: int
    changed_ns: int
    content: int

    def head(self, blocks: NDArray[np.int64]) -> NDArray[np.int64]:
        """The lines before the blocks: version and their number, size and time, marks of the content and of them."""
        marks = (self.content, _mark(hashlib.sha256(blocks.tobytes()).digest()))
        return np.array([(_INDEX_VERSION, len(blocks)), (self.size, self.changed_ns), marks], dtype=np.int64)


def _mark(digest: bytes) -> int:
    return int.from_bytes(digest[:8]) >> 1


def _load_index(place: Path, belongs_to: _BelongsTo) -> NDArray[np.int64] | None:
    """The blocks of the index kept at `place`; None if it is of another file or version, damaged, or none at all.

    It lies where others may write, so it is only believed as far as it makes sense: rows and bytes that grow, within
    the file, from one block to the next. It is mapped first: what it says of its own size may be anything.
    """
    try:
        if not place.is_file():
            return None
        stored = np.lib.format.open_memmap(place, mode="r")  # type: ignore[no-untyped-call]
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError):
        return None
    if stored.dtype != np.int64 or stored.ndim != 2 or stored.shape[1] != 2 or len(stored) <= _HEAD_LINES:
        return None
    blocks = np.array(stored[_HEAD_LINES:], dtype=np.int64, order="C")
    if stored[:_HEAD_LINES].tolist() != belongs_to.head(blocks).tolist():
        return None
    steps = np.diff(blocks, axis=0)
    fits = blocks[0, 0] == 0 and blocks[0, 1] >= 0 and blocks[-1, 1] <= belongs_to.size
    grows = (steps[:, 0] > 0) & (steps[:, 0] <= steps[:, 1]) & (steps[:, 1] <= LONGEST_BLOCK_BYTES)
    return blocks if fits and bool(grows.all()) else None
