"""What the lines of a block of a result file are of, told without parsing most of them.

A line that begins and ends like a record and says so is taken for one; `verify` parses them all."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.records.record import glance, parse_record, told_error
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON, to_json

OK = 255
"""The ending of a sample that has no error; that of a failed one is the number of its error's kind, from 1."""
OTHER_KINDS = "(other kinds)"
_SAID_OK = b'"status": "ok"'
_ROW_DIGITS = 9  # of a row number that fits into 32 bits whatever it is
_MOST_LEARNT = 32  # lines of a block from which it is learnt how others look; the rest are looked at one by one

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

    def numbers_in(self, others: "Kinds") -> Endings:
        """The ending among others, of the shape (256,), for each ending here; new kinds are added to theirs."""
        numbers = np.zeros(OK + 1, dtype=np.uint8)
        numbers[OK] = OK
        numbers[1 : len(self._numbers) + 1] = [others.number(kind) for kind in self._numbers]
        return numbers

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

    def pieces_in(self, kinds: Kinds) -> list[Piece]:
        """The pieces with the numbers that the kinds of errors have among others."""
        numbers = self.kinds.numbers_in(kinds)
        return [Piece(piece.data_name, piece.rows, numbers[piece.endings]) for piece in self.pieces]


def count_block(block: bytes, end: int, found: Found) -> None:
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
    fits &= _stretches(block, numbers + length, len(after)) == np.void(after)
    again = _stretches(block, numbers + length + len(after), _ROW_DIGITS + 1).view(np.uint8).reshape(digits.shape)
    same = (again - np.uint8(48) == digits) | (np.arange(_ROW_DIGITS + 1) >= length[:, np.newaxis])
    ended = np.take_along_axis(again, np.minimum(length, _ROW_DIGITS)[:, np.newaxis], axis=1)[:, 0] == ord(",")
    return fits & same.all(axis=1) & ended, rows


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
