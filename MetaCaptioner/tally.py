"""How many records the result files hold, and of which samples, counted again and again while they grow.

Beside `results.py`, which writes them, the only module that opens result files. It takes no locks and writes nothing,
so the ranks do not notice it; it reads each byte once.

What is fast about it: the records that this program writes begin with their identity, and where all went well say
`"status": "ok"`, in a dataset at few distances from the line's start. That is looked for in many lines at once; those
that do not have it, the failed ones among them, are parsed. A model's text cannot deceive it: inside a JSON string
every quote has a backslash before it, so `"status": "ok"` with bare quotes is a field of the record itself. A line that
begins and ends like a record and says so is taken for one; `dataprocess/verify.py` parses them all.
"""

import errno
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.json_text import NOT_PLAIN_JSON, to_json
from MetaCaptioner.opening import open_descriptor, open_file
from MetaCaptioner.record import glance, parse_record, told_error
from MetaCaptioner.results import DoneSamples, ResultError, ResultName, read_told, result_files
from MetaCaptioner.side_by_side import side_by_side

OK = 255
"""The ending of a sample that has no error; that of a failed one is the number of its error's kind, from 1."""
OTHER_KINDS = "(other kinds)"
_BLOCK_BYTES = 2**20  # what a processor's cache holds
_TAIL_BYTES = 64
_SIDE_BY_SIDE_FROM_BYTES = 2**30  # read in a second or so, which is what it takes to start processes
_SAID_OK = b'"status": "ok"'
_ROW_DIGITS = 9  # of a row number that fits into 32 bits whatever it is
_MOST_LEARNT = 32  # lines of a block from which it is learnt how others look; the rest are looked at one by one
_PIECES_BEFORE_JOINING = 64

Places = NDArray[np.int64]
Rows = NDArray[np.int32]
Endings = NDArray[np.uint8]


class _Kind(msgspec.Struct, gc=False):
    kind: str


class _Failure(msgspec.Struct, gc=False):
    """A record of a failed sample, as this program writes it."""

    data_name: str
    index: int
    status: str
    error: _Kind


_FAILURE = msgspec.json.Decoder(_Failure)


class Kinds:
    """The kinds of errors met so far, each with a number from 1 to 254."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, kind: str) -> int:
        if kind not in self._numbers and len(self._numbers) >= OK - 2:
            kind = OTHER_KINDS
        return self._numbers.setdefault(kind, len(self._numbers) + 1)

    def names(self) -> list[str]:
        """The kinds in order of their numbers: the first is number 1."""
        return list(self._numbers)


@dataclass(frozen=True)
class Piece:
    """Records of one dataset, in the order of the file: row of each, and how it ended."""

    data_name: str
    rows: Rows
    endings: Endings


@dataclass
class Found:
    """The records of a stretch of a result file. `broken` lines are no records; `strays` name no row of a dataset."""

    pieces: list[Piece] = field(default_factory=list)
    kinds: Kinds = field(default_factory=Kinds)
    broken: int = 0
    strays: int = 0

    def join(self) -> None:
        """Make one piece of all those of a dataset."""
        by_name: dict[str, list[Piece]] = {}
        for piece in self.pieces:
            by_name.setdefault(piece.data_name, []).append(piece)
        self.pieces = [
            Piece(name, np.concatenate([p.rows for p in pieces]), np.concatenate([p.endings for p in pieces]))
            for name, pieces in by_name.items()
        ]

    def add(self, more: "Found") -> list[Piece]:
        """Take in what comes after; returns its pieces with the numbers that error kinds have here."""
        numbers = np.zeros(OK + 1, dtype=np.uint8)
        numbers[OK] = OK
        for there, kind in enumerate(more.kinds.names(), start=1):
            numbers[there] = self.kinds.number(kind)
        pieces = [Piece(piece.data_name, piece.rows, numbers[piece.endings]) for piece in more.pieces]
        self.pieces += pieces
        self.broken += more.broken
        self.strays += more.strays
        if len(self.pieces) >= _PIECES_BEFORE_JOINING:
            self.join()
        return pieces


@dataclass(frozen=True)
class Place:
    """How far a file was read, and what tells whether it is still the same: only growth goes on from there."""

    device: int
    inode: int
    size: int
    changed_ns: int
    offset: int = 0
    tail: bytes = b""
    """The last bytes before `offset`."""

    @classmethod
    def at_start(cls, descriptor: int) -> "Place":
        status = os.fstat(descriptor)
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    def grown_from(self, earlier: "Place", descriptor: int) -> bool:
        """Whether this file is the one that was read up to `earlier`, with more behind it."""
        same = (self.device, self.inode) == (earlier.device, earlier.inode) and self.size > earlier.size
        return same and os.pread(descriptor, len(earlier.tail), earlier.offset - len(earlier.tail)) == earlier.tail


@dataclass(frozen=True)
class Reading:
    """What was read of a file. `anew`: from its start, so that nothing that was read of it before counts any more."""

    found: Found
    place: Place | None
    anew: bool


def read_on(task: tuple[Path, Place | None]) -> Reading | None:
    """Read what has come to a file since it was read up to a place; None where that is nothing.

    A last line without a line break is not there yet. A file that is gone has no place.

    Raises:
        ResultError: the file cannot be read.
    """
    path, earlier = task
    try:
        descriptor = open_descriptor(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESTALE):
            return None if earlier is None else Reading(Found(), None, anew=True)
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error
    try:
        now = Place.at_start(descriptor)  # of the open file: a network file system then asks its server
        if earlier is not None and replace(now, offset=earlier.offset, tail=earlier.tail) == earlier:
            return None
        goes_on = earlier is not None and now.grown_from(earlier, descriptor)
        found = Found()
        offset = earlier.offset if earlier is not None and goes_on else 0
        for block, end in _blocks(descriptor, offset, now.size):
            _count(block, end, found)
            offset += end
        found.join()
        tail = os.pread(descriptor, min(_TAIL_BYTES, offset), max(0, offset - _TAIL_BYTES))
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return Reading(found, replace(now, offset=offset, tail=tail), anew=not goes_on)


def _blocks(descriptor: int, offset: int, size: int) -> Iterator[tuple[bytes, int]]:
    """(bytes, end of the last whole line in them) of the whole lines from `offset` on, up to about `size`."""
    wanted = _BLOCK_BYTES
    while offset < size:
        block = os.pread(descriptor, min(wanted, size - offset), offset)
        end = block.rfind(b"\n") + 1
        if end:
            yield block, end
            offset += end
            wanted = _BLOCK_BYTES
        elif len(block) < wanted:  # a torn last line
            return
        else:
            wanted *= 2


def _count(block: bytes, end: int, found: Found) -> None:
    """Add the records in the whole lines of `block` up to `end` to what was found."""
    data = np.frombuffer(block, dtype=np.uint8, count=end)
    breaks = np.flatnonzero(data == ord("\n"))
    starts = np.concatenate([breaks[:1] * 0, breaks[:-1] + 1])
    parsed = (data[breaks - 1] != ord("}")) | ~_say_ok(block, starts, breaks)
    _count_ok(block, starts, breaks, parsed, found)
    pieces: dict[str, tuple[list[int], list[int]]] = {}
    for line in np.flatnonzero(parsed).tolist():
        _count_parsed(block[starts[line] : breaks[line] + 1], found, pieces)
    found.pieces += [
        Piece(name, np.array(rows, dtype=np.int32), np.array(endings, dtype=np.uint8))
        for name, (rows, endings) in pieces.items()
    ]


def _say_ok(block: bytes, starts: Places, breaks: Places) -> NDArray[np.bool_]:
    """Which lines say that their sample is ok. Most do so as far from their start as another one."""
    say = np.zeros(len(starts), dtype=np.bool_)
    left = np.arange(len(starts))
    for _ in range(_MOST_LEARNT):
        if not len(left):
            return say
        distance = block.find(_SAID_OK, starts[left[0]], breaks[left[0]]) - starts[left[0]]
        if distance < 0:
            left = left[1:]
            continue
        places = starts[left] + distance
        alike = (places < breaks[left]) & (_stretches(block, places, len(_SAID_OK)) == np.void(_SAID_OK))
        say[left[alike]] = True
        left = left[~alike]
    say[left] = [block.find(_SAID_OK, starts[line], breaks[line]) >= 0 for line in left]
    return say


def _count_ok(block: bytes, starts: Places, breaks: Places, parsed: NDArray[np.bool_], found: Found) -> None:
    """Count the lines that are not `parsed`, all of them ok, by their first bytes; note in `parsed` what must be.

    One line of each dataset is parsed to learn what its lines begin with.
    """
    left = np.flatnonzero(~parsed)
    for _ in range(_MOST_LEARNT):
        if not len(left):
            return
        told = glance(block[starts[left[0]] : breaks[left[0]] + 1])
        if told is not None and told.data_name is not None:
            fits, rows = _row_numbers(block, starts[left], told.data_name)
            if fits[0]:
                found.pieces.append(Piece(told.data_name, rows[fits], np.full(int(fits.sum()), OK, dtype=np.uint8)))
                left = left[~fits]
                continue
        parsed[left[0]] = True
        left = left[1:]
    parsed[left] = True


def _row_numbers(block: bytes, starts: Places, data_name: str) -> tuple[NDArray[np.bool_], Rows]:
    """Which lines begin with the identity of a sample of this dataset; and the row of each that does."""
    name = to_json(data_name)[1:-1]
    before = b'{"sample_id": "' + name + b"/"
    after = b'", "data_name": "' + name + b'", "index": '
    numbers = starts + len(before)
    digits = _stretches(block, numbers, _ROW_DIGITS + 1).view(np.uint8).reshape(-1, _ROW_DIGITS + 1) - np.uint8(48)
    length = np.argmin(digits < 10, axis=1)
    rows = np.zeros(len(starts), dtype=np.int32)
    for column in range(_ROW_DIGITS):
        rows = np.where(column < length, rows * 10 + digits[:, column], rows)
    fits = (length > 0) & (_stretches(block, starts, len(before)) == np.void(before))
    return fits & (_stretches(block, numbers + length, len(after)) == np.void(after)), rows


def _stretches(block: bytes, places: Places, length: int) -> NDArray[np.void]:
    """The `length` bytes of a block at each place; zeros where the block ends before."""
    every = np.ndarray((max(0, len(block) - length + 1),), f"V{length}", block, 0, (1,))  # a view, not a copy
    picked = np.zeros(len(places), dtype=every.dtype)
    inside = places < len(every)
    picked[inside] = every[places[inside]]
    return picked


def _count_parsed(line: bytes, found: Found, pieces: dict[str, tuple[list[int], list[int]]]) -> None:
    """Count a line by all that it says; its row and ending go to `pieces`, by dataset."""
    name: str | None
    index: int | None
    try:
        failure = _FAILURE.decode(line)
        name, index, status, kind = failure.data_name, failure.index, failure.status, failure.error.kind
    except NOT_PLAIN_JSON:
        told = glance(line)
        if told is None:
            found.broken += 1
            return
        name, index, status = told.data_name, told.index, told.status or "unknown"
        kind = "" if status == "ok" else str(told_error(parse_record(line) or {}).get("kind") or "unknown")
    if name is None or index is None or not 0 <= index < 2**31:
        found.strays += 1
        return
    rows, endings = pieces.setdefault(name, ([], []))
    rows.append(index)
    endings.append(OK if status == "ok" else found.kinds.number(kind))


@dataclass
class TalliedFile:
    """A result file as far as it was read: all its records, and the time of its last change in seconds (Unix)."""

    name: ResultName
    place: Place
    found: Found

    @property
    def changed(self) -> float:
        return self.place.changed_ns / 1e9


@dataclass(frozen=True)
class Change:
    """What has come to a file. `anew`: what was there before is gone, the pieces are all that it holds."""

    file: ResultName
    pieces: Sequence[Piece]
    anew: bool


def recorded_rows(folder: Path, rank: int, only_ok: bool) -> Iterator[tuple[str, Rows]]:
    """(dataset, rows) of the records in the files of a rank, or of those that are ok, some hundred at a time.

    Raises:
        ResultError: a file cannot be read, or has a line that is no record.
    """
    for path, _ in result_files(folder, rank):
        try:
            with open_file(path) as file:
                for block, end in _blocks(file.fileno(), 0, os.fstat(file.fileno()).st_size):
                    found = Found()
                    _count(block, end, found)
                    _check_whole(path, found)
                    for piece in found.pieces:
                        yield piece.data_name, piece.rows[piece.endings == OK] if only_ok else piece.rows
        except OSError as error:
            raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


def _check_whole(path: Path, found: Found) -> None:
    """Refuse a file in which lines were found that are no records.

    Raises:
        ResultError: that; it names the first one and says what to do.
    """
    if found.broken:
        deque(read_told(path), maxlen=0)


class BegunRows:
    """The rows that have a record in the files of a rank, each byte of which is read once."""

    def __init__(self, folder: Path, rank: int) -> None:
        self._folder = folder
        self._rank = rank
        self._places: dict[Path, Place] = {}
        self._rows = DoneSamples()

    def look(self) -> DoneSamples:
        """Read what is new; all rows so far. Where a file was written anew, rows that it has no more may be among them.

        Raises:
            ResultError: a file cannot be read, or has a line that is no record.
        """
        for path, _ in result_files(self._folder, self._rank):
            reading = read_on((path, self._places.get(path)))
            if reading is not None and reading.place is not None:
                self._places[path] = reading.place
                _check_whole(path, reading.found)
                for piece in reading.found.pieces:
                    self._rows.mark_all(piece.data_name, piece.rows)
        return self._rows


class Tally:
    """The result files of a folder, each read as far as it was at the last `look`."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[Path, TalliedFile] = {}
        self.kinds = Kinds()
        self._folder = folder

    def look(self) -> list[Change]:
        """Read what is new; a change for each file that has any.

        Raises:
            ResultError: a file cannot be read.
        """
        named = dict(result_files(self._folder))
        named |= {path: file.name for path, file in self.files.items()}
        paths = list(named)
        tasks = [(path, self.files[path].place if path in self.files else None) for path in paths]
        readings = map(read_on, tasks) if self.files else side_by_side(read_on, tasks, paths, _SIDE_BY_SIDE_FROM_BYTES)
        return [
            self._take(path, named[path], reading)
            for path, reading in zip(paths, readings, strict=True)
            if reading is not None
        ]

    def _take(self, path: Path, name: ResultName, reading: Reading) -> Change:
        known = self.files.get(path)
        if reading.place is None:
            self.files.pop(path, None)
            return Change(name, [], anew=True)
        if known is None or reading.anew:
            self.files[path] = TalliedFile(name, reading.place, Found(kinds=self.kinds))
            pieces = self.files[path].found.add(reading.found)
            return Change(name, pieces, anew=known is not None)
        known.place = reading.place
        return Change(name, known.found.add(reading.found), anew=False)
