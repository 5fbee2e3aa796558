"""Random access to the rows of an annotation file, without reading the rest of it.

A file is scanned once for where each row begins and ends. For a large file the result is kept beside it (or in the
user's cache, where the folder is read-only) and used again as long as the file's size and time stay the same.
"""

import hashlib
import json
import mmap
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import UserError

INDEXED_FROM_BYTES = 32 * 2**20
_CHUNK_BYTES = 4 * 2**20
_GAP = re.compile(r"[\s,]*")


class BrokenAnnotation(UserError):
    """An annotation file that cannot be used; the message names file and row."""


class AnnotationFile:
    """The rows of one annotation file, a JSON list or JSONL.

    Raises:
        BrokenAnnotation: the file is missing, empty, or breaks off in a row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
            status = os.fstat(self._file.fileno())
        except OSError as error:
            raise BrokenAnnotation(f"annotation file {path}: cannot be read: {error.strerror}") from error
        if status.st_size == 0:
            raise BrokenAnnotation(f"annotation file {path}: is empty")
        fingerprint = (status.st_size, status.st_mtime_ns)
        self._spans = self._load_index(fingerprint) if status.st_size >= INDEXED_FROM_BYTES else self._scan()

    def __len__(self) -> int:
        return len(self._spans)

    def rows(self, start: int, end: int) -> Iterator[tuple[int, object]]:
        """(index, parsed row) for `start <= index < end`; a JSONL line that is no JSON comes as its own text."""
        for index in range(start, end):
            yield index, self.row(index)

    def row(self, index: int) -> object:
        """The parsed row `index`, or the raw text of a line that cannot be parsed."""
        begin, end = self._spans[index].tolist()
        text = os.pread(self._file.fileno(), end - begin, begin)
        try:
            parsed: Any = json.loads(text)
        except (ValueError, RecursionError):
            return text.decode("utf-8", "replace")
        return parsed

    def close(self) -> None:
        self._file.close()

    def _scan(self) -> NDArray[np.int64]:
        """(rows, 2) byte offsets: where each row begins and ends."""
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            head = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
            if head.split(b"\n", 1)[0].strip() == b"{":
                raise BrokenAnnotation(
                    f"annotation file {self.path}: is one JSON object; it must be a list of rows, or JSONL"
                )
            spans = _list_spans(data, self.path) if head.startswith(b"[") else _line_spans(data)
            flat = np.fromiter((offset for span in spans for offset in span), dtype=np.int64)
        return flat.reshape(-1, 2)

    def _load_index(self, fingerprint: tuple[int, int]) -> NDArray[np.int64]:
        """The kept index if it still fits the file, else a new one, which is kept for the next time."""
        for place in self._index_places():
            try:
                stored: NDArray[np.int64] = np.load(place, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                continue
            if stored.ndim == 2 and len(stored) and tuple(stored[0].tolist()) == fingerprint:
                return stored[1:]
        spans = self._scan()
        self._keep_index(np.vstack([np.array([fingerprint], dtype=np.int64), spans]))
        return spans

    def _index_places(self) -> tuple[Path, Path]:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metacaptioner"
        name = hashlib.sha256(str(self.path.resolve()).encode()).hexdigest()[:24]
        return self.path.with_name(f".{self.path.name}.index.npy"), cache / f"{name}.index.npy"

    def _keep_index(self, index: NDArray[np.int64]) -> None:
        for place in self._index_places():
            temporary = place.with_name(f"{place.name}.{os.getpid()}.tmp")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                with temporary.open("wb") as file:
                    np.save(file, index)
                temporary.replace(place)
            except OSError:
                with suppress(OSError):
                    temporary.unlink()
                continue  # a read-only or full folder: the next place, or no index, which costs time only
            return


def _line_spans(data: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Byte spans of the non-blank lines of a JSONL file."""
    begin, size = 0, len(data)
    while begin < size:
        newline = data.find(b"\n", begin)
        end = size if newline < 0 else newline
        if data[begin:end].strip():
            yield begin, end
        begin = end + 1


def _list_spans(data: mmap.mmap, path: Path) -> Iterator[tuple[int, int]]:
    """Byte spans of the items of a JSON list.

    Decoding as Latin-1 makes a character of every byte, so that positions in the text are positions in the file.
    """
    decoder = json.JSONDecoder()
    base = data.find(b"[") + 1
    text, position, rows, chunk = "", 0, 0, _CHUNK_BYTES
    while True:
        position = _GAP.match(text, position).end()  # type: ignore[union-attr]
        at_end = base + len(text) >= len(data)
        if position < len(text) and text[position] == "]":
            return
        try:
            _, stop = decoder.raw_decode(text, position)
            if stop == len(text) and not at_end:
                raise json.JSONDecodeError("the value may go on", text, stop)
        except RecursionError as error:
            raise BrokenAnnotation(f"annotation file {path}: row {rows} is nested too deep") from error
        except json.JSONDecodeError as error:
            if at_end:
                where = base + error.pos
                raise BrokenAnnotation(
                    f"annotation file {path}: row {rows} is broken at byte {where} of {len(data)}: {error.msg} "
                    "(was the file cut off?)"
                ) from error
            chunk = chunk * 2 if position == 0 and text else _CHUNK_BYTES
            base, position = base + position, 0
            text = data[base : base + chunk].decode("latin-1")
            continue
        yield base + position, base + stop
        position, rows = stop, rows + 1
