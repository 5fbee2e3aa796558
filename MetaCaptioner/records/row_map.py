"""Which row of which dataset, with which caption; small numbers for rows, in memory that does not grow with them."""

import hashlib
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from MetaCaptioner.errors import UserError

_PAGE_BYTES = 16 * 2**10
_PAGES_IN_MEMORY = 128
_PageKey = tuple[str, int]
"""Name of the dataset and number of the page, from 0."""

HIGHEST_ROW = 2**31 - 1
"""Beyond any row of any dataset; a number above it is no row's, and would cost room without end."""
Row = tuple[str, int]
"""Name of the dataset and number of the row, from 0: what a sample is known by."""


def row_of(record: Mapping[str, object]) -> Row | None:
    """Dataset and row of the sample that a record is of; None where it has no sound identity."""
    name, index = record.get("data_name"), record.get("index")
    is_row = isinstance(index, int) and not isinstance(index, bool) and 0 <= index <= HIGHEST_ROW
    return (name, index) if isinstance(name, str) and isinstance(index, int) and is_row else None


def caption_hash(caption: str) -> str:
    """Sixteen hexadecimal digits that tell one caption from another."""
    return hashlib.sha256(caption.encode("utf-8", "replace")).hexdigest()[:16]


class RowNumbers:
    """Numbers of one NumPy type by dataset and row; 0 where none was set.

    They lie in pages, of which so many as take 2 MiB are in memory, the last used ones; the others wait in a temporary
    file that has no name. So memory does not grow with the rows, and rows that have no number take no room. With
    `in_memory` all are there.

    Raises:
        UserError: no temporary file can be made, or it does not fit.
    """

    def __init__(self, dtype: DTypeLike, in_memory: bool = False) -> None:
        self._dtype = np.dtype(dtype)
        self._most_loaded = sys.maxsize if in_memory else _PAGES_IN_MEMORY
        self._rows_a_page = _PAGE_BYTES // self._dtype.itemsize
        self._names: dict[str, set[int]] = {}  # the pages that there are of each dataset
        self._loaded: OrderedDict[_PageKey, NDArray[np.generic]] = OrderedDict()
        self._changed: set[_PageKey] = set()
        self._slots: dict[_PageKey, int] = {}  # where in the file a page lies
        self._file: BinaryIO | None = None

    def set(self, name: str, index: int, number: int) -> None:
        page, place = divmod(index, self._rows_a_page)
        self._page_to_change((name, page))[place] = number

    def set_all(self, name: str, indexes: NDArray[np.integer], numbers: NDArray[np.integer] | int) -> None:
        """The numbers of many rows of a dataset, or one for all; the last one of a row that is there several times."""
        each = np.broadcast_to(np.asarray(numbers, self._dtype), np.shape(indexes))
        for number, places, which in self._by_page(indexes):
            self._page_to_change((name, number))[places] = each[which]

    def set_range(self, name: str, start: int, end: int, number: int) -> None:
        """The number of all rows `start <= index < end`."""
        for page in range(start // self._rows_a_page, -(-end // self._rows_a_page)):
            begin = page * self._rows_a_page
            self._page_to_change((name, page))[max(0, start - begin) : end - begin] = number

    def get(self, name: str, index: int) -> int:
        number, place = divmod(index, self._rows_a_page)
        page = self._page((name, number))
        return 0 if page is None else int(page[place])

    def get_all(self, name: str, indexes: NDArray[np.integer]) -> NDArray[np.generic]:
        """The numbers of many rows of a dataset, in their order."""
        found = np.zeros(len(indexes), dtype=self._dtype)
        for number, places, which in self._by_page(indexes):
            if (page := self._page((name, number))) is not None:
                found[which] = page[places]
        return found

    def between(self, name: str, start: int, end: int) -> NDArray[np.generic]:
        """The numbers of the rows `start <= index < end`."""
        numbers = range(start // self._rows_a_page, -(-end // self._rows_a_page))
        cuts = [self._cut((name, number), start, end) for number in numbers]
        return np.concatenate([np.zeros(0, self._dtype), *cuts])

    def rows(self) -> Iterator[Row]:
        """The rows with a number other than 0; numbers may be set to 0 meanwhile."""
        for name in list(self._names):
            yield from ((name, index) for index in self.rows_of(name))

    def rows_of(self, name: str) -> Iterator[int]:
        """The same of one dataset."""
        for number in sorted(self._names.get(name, ())):
            page = self._page((name, number))
            if page is not None:
                yield from (np.flatnonzero(page) + number * self._rows_a_page).tolist()

    def count(self, name: str, start: int, end: int) -> int:
        """How many of the rows `start <= index < end` have a number other than 0."""
        first, behind = start // self._rows_a_page, -(-end // self._rows_a_page)
        there = self._names.get(name, set())
        numbers = range(first, behind) if behind - first < len(there) else [n for n in there if first <= n < behind]
        return sum(int(np.count_nonzero(self._cut((name, number), start, end))) for number in numbers)

    def without(self, name: str, start: int, end: int) -> Iterator[int]:
        """The rows `start <= index < end` that have none."""
        for number in range(start // self._rows_a_page, -(-end // self._rows_a_page)):
            begin = number * self._rows_a_page
            yield from (np.flatnonzero(self._cut((name, number), start, end) == 0) + max(start, begin)).tolist()

    def _by_page(self, indexes: NDArray[np.integer]) -> Iterator[tuple[int, NDArray[np.integer], NDArray[np.integer]]]:
        """(number of the page, places in it, which of the indexes these are), in their order within each page."""
        pages, places = np.divmod(indexes, self._rows_a_page)
        order = np.argsort(pages, kind="stable")
        for which in np.split(order, np.flatnonzero(np.diff(pages[order])) + 1):
            if len(which):
                yield int(pages[which[0]]), places[which], which

    def _cut(self, key: _PageKey, start: int, end: int) -> NDArray[np.generic]:
        """The numbers of a page, of its rows `start <= index < end`."""
        page, begin = self._page(key), key[1] * self._rows_a_page
        whole = np.zeros(self._rows_a_page, dtype=self._dtype) if page is None else page
        return whole[max(0, start - begin) : max(0, end - begin)]

    def _page(self, key: _PageKey) -> NDArray[np.generic] | None:
        page = self._loaded.get(key)
        if page is not None:
            self._loaded.move_to_end(key)
            return page
        if key not in self._slots or self._file is None:
            return None
        with _told("read"):
            content = bytearray(os.pread(self._file.fileno(), _PAGE_BYTES, self._slots[key] * _PAGE_BYTES))
        return self._keep(key, np.frombuffer(content, dtype=self._dtype))

    def _page_to_change(self, key: _PageKey) -> NDArray[np.generic]:
        page = self._page(key)
        if page is None:
            self._names.setdefault(key[0], set()).add(key[1])
            page = self._keep(key, np.zeros(self._rows_a_page, dtype=self._dtype))
        self._changed.add(key)
        return page

    def _keep(self, key: _PageKey, page: NDArray[np.generic]) -> NDArray[np.generic]:
        """Keep a page in memory; the one that was used longest ago goes to the file for it."""
        self._loaded[key] = page
        if len(self._loaded) > self._most_loaded:
            left, content = self._loaded.popitem(last=False)
            if left in self._changed:
                self._changed.remove(left)
                self._write(self._slots.setdefault(left, len(self._slots)), content.tobytes())
        return page

    def _write(self, slot: int, content: bytes) -> None:
        with _told("written"):
            self._file = self._file or TemporaryFile(prefix="metacaptioner-")  # noqa: SIM115 as long as the numbers
            self._file.seek(slot * _PAGE_BYTES)
            self._file.write(content)
            self._file.flush()


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise UserError(f"a temporary file cannot be {what}: {why}; name a folder with room by TMPDIR") from error
