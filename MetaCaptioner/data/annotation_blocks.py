"""Where the rows of an annotation file begin and end, found without parsing them one by one."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from MetaCaptioner.data.wrong_file_hints import large_object
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON

_BLOCK_BYTES = 64 * 2**10
HEAD_BYTES = 4 * 2**10
_LONGEST_ROW_BYTES = 64 * 2**20
LONGEST_BLOCK_BYTES = 2 * _LONGEST_ROW_BYTES
_CUT_GUESSES = 4


BOM = b"\xef\xbb\xbf"
BETWEEN_ROWS = b" \t\r\n,"
_FIRST_KEY = re.compile(rb'\{\s*("(?:[^"\\]|\\.)*")')
_NEXT_ROW = re.compile(rb"\}(\s*,\s*\{\s*)$")
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])

Read = Callable[[int, int], bytes]
"""(number of bytes, offset) -> bytes; fewer at the end of the file."""
Block = tuple[int, int, int]
"""(number of rows, offset of the first byte, offset behind the last)."""


class BrokenAnnotation(UserError):
    """An annotation file that cannot be used; the message names file and row."""


def split_lines(data: bytes) -> list[bytes]:
    """The rows in a block of lines."""
    return [line for line in data.split(b"\n") if line.strip()]


def split_list(data: bytes) -> list[bytes]:
    """The texts of the items in a piece of a JSON list, which ends behind an item."""
    try:
        return list(map(bytes, _ROWS.decode(b"[" + data.rstrip(BETWEEN_ROWS) + b"]")))
    except NOT_PLAIN_JSON:
        return [data[begin:end] for begin, end in _walk(data, is_last=True)[0]]


def line_blocks(read: Read, begin: int, size: int, path: Path) -> Iterator[Block]:
    """The blocks of a JSONL file; blank lines are no rows.

    Raises:
        BrokenAnnotation: a line is longer than any row can be.
    """
    wanted = _BLOCK_BYTES
    while data := read(wanted, begin):
        at_end = begin + len(data) >= size
        length = len(data) if at_end else data.rfind(b"\n") + 1
        if length:
            if count := len(split_lines(data[:length])):
                yield count, begin, begin + length
            begin, wanted = begin + length, _BLOCK_BYTES
        elif wanted >= _LONGEST_ROW_BYTES:
            why = large_object(path, data[:HEAD_BYTES]) or "is it one JSON object? It must be a list of rows, or JSONL"
            raise BrokenAnnotation(f"annotation file {path}: the line at byte {begin} of {size} does not end ({why})")
        else:
            wanted *= 2


def list_blocks(read: Read, begin: int, size: int, path: Path) -> Iterator[Block]:
    """The blocks of a JSON list.

    Raises:
        BrokenAnnotation: the list breaks off or is not the end of the file, or a row is nested too deep; the message
            names row and byte.
    """
    begin = behind_space(read, begin, size) + 1
    rows, wanted = 0, _BLOCK_BYTES
    while True:
        chunk = read(wanted, begin)
        is_last = not chunk or begin + len(chunk) >= size or wanted >= _LONGEST_ROW_BYTES
        data = chunk.lstrip(BETWEEN_ROWS)
        begin += len(chunk) - len(data)
        if data.startswith(b"]"):
            _check_end(read, begin + 1, size, f"annotation file {path}", rows)
            return
        count, length = _guess_cut(data) or _walk_to_cut(
            data, is_last, f"annotation file {path}: row {rows}", begin, size
        )
        if count:
            yield count, begin, begin + length
        rows, begin = rows + count, begin + length
        wanted = _BLOCK_BYTES if count or not data else wanted * 2


def behind_space(read: Read, begin: int, size: int) -> int:
    """Where white space ends that may begin at byte `begin`."""
    while begin < size and (data := read(_BLOCK_BYTES, begin)):
        text = data.lstrip()
        begin += len(data) - len(text)
        if text:
            break
    return begin


def _check_end(read: Read, begin: int, size: int, what: str, rows: int) -> None:
    """Refuse a file with more than white space behind the list of `rows` rows that ends before byte `begin`.

    Raises:
        BrokenAnnotation: there is more.
    """
    place = behind_space(read, begin, size)
    rest = read(HEAD_BYTES, place).removeprefix(BOM).lstrip()
    if not rest:
        return
    where = f"the file goes on behind the end of its list of {rows:,} rows, at byte {place} of {size}"
    if rest.startswith(b"["):
        advice = "are there several lists, one after the other? Make one of them: jq -c '.[]' FILE > ROWS.jsonl"
    elif rest.startswith(b"{"):
        advice = "do rows follow, one a line? A file is a list or JSONL, not both"
    elif rest.startswith(b"\0"):
        advice = "NUL bytes: was it not copied to its end?"
    else:
        advice = f"it reads {rest[:20]!r}"
    raise BrokenAnnotation(f"{what}: {where} ({advice})")


def _guess_cut(data: bytes) -> tuple[int, int] | None:
    """(number, length) of the whole rows that `data` begins with, if they are easily found.

    Rows that are objects mostly begin with the same key: where that stands behind `}, {`, a row should begin. What lies
    before is then parsed as a list. Parsing succeeds only if the cut is between two items, so the guess is proven.
    """
    key = _FIRST_KEY.match(data)
    place, guesses = len(data), 0
    while key and guesses < _CUT_GUESSES and (place := data.rfind(key[1], 0, place)) > 0:
        if gap := _NEXT_ROW.search(data[max(0, place - 64) : place]):
            guesses += 1
            length = place - len(gap[1])
            try:
                return len(_ROWS.decode(b"[" + data[:length] + b"]")), length
            except NOT_PLAIN_JSON:
                continue
    return None


def _walk_to_cut(data: bytes, is_last: bool, row: str, begin: int, size: int) -> tuple[int, int]:
    """(number, length) of the whole rows that `data` begins with; (0, 0) if there is none and more must be read.

    Raises:
        BrokenAnnotation: there is none, and no more to read.
    """
    try:
        spans, problem = _walk(data, is_last)
    except RecursionError as error:
        raise BrokenAnnotation(f"{row} is nested too deep") from error
    if is_last and not spans and problem is not None:
        where = f"byte {begin + problem.pos} of {size}"
        raise BrokenAnnotation(f"{row} is broken at {where}: {problem.msg} (was the file cut off?)")
    return len(spans), spans[-1][1] if spans else 0


def _walk(data: bytes, is_last: bool) -> tuple[list[tuple[int, int]], json.JSONDecodeError | None]:
    """Where the whole items in `data` begin and end, one by one, and what ended the walk (None: the list's end).

    Decoding as Latin-1 makes a character of every byte, so that positions in the text are positions in the file.
    Unless `is_last`, an item that reaches the end of `data` may go on behind it and is left out.

    Raises:
        RecursionError: the first item is nested too deep.
    """
    decoder, gap = json.JSONDecoder(), re.compile(r"[ \t\r\n,]*")
    text, place = data.decode("latin-1"), 0
    spans: list[tuple[int, int]] = []
    while True:
        place = gap.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith("]", place):
            return spans, None
        try:
            _, stop = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            return spans, error
        except RecursionError:
            if not spans:
                raise
            return spans, None
        if stop == len(text) and not is_last:
            return spans, json.JSONDecodeError("the value may go on", text, stop)
        spans.append((place, stop))
        place = stop
