"""Bringing an annotation file up to date with an input that has grown or shrunk.

A sample is known by the name of its dataset and the number of its row, and results refer to that. So what is found
again keeps its row, what is new comes at the end, and the row of what is gone stays, without media, to keep its place.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from MetaCaptioner.data.annotation import AnnotationFile, parse_row
from MetaCaptioner.data.annotation_row import as_it_was
from MetaCaptioner.data.inputs.base import Notes, Row
from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.json_text import from_json, to_json

_OF_THE_INPUT = ("id", "image", "video", "tar", "conversations")
_TABLES = """
    create table old (place integer primary key, media text);
    create table found (number integer primary key, media text, row text);
    create table now (place integer primary key, number integer unique);
"""
# The n-th row that was found of some media takes the place of the n-th old one of the same.
_MATCHED = """
    with olds as (select place, media, row_number() over (partition by media order by place) as n from old),
         founds as (select number, media, row_number() over (partition by media order by number) as n from found)
    insert into now select place, number from olds join founds using (media, n)
"""
_ADDED = """
    insert into now select ? - 1 + row_number() over (order by number), number from found
    where number not in (select number from now)
"""


def in_old_places(path: Path, found: Iterable[tuple[Row, bytes]], notes: Notes) -> Iterator[bytes]:
    """The lines of the annotation file at `path` as it should be now that `found` are the rows of its input, and lines.

    What a row has of others than the input, such as a task, is kept. The rows wait in a temporary database on disk, so
    that memory does not grow with them.

    Raises:
        UserError: the file cannot be read, or a part of the input could not, whose rows would be taken for gone.
    """
    with closing(AnnotationFile(path)) as old, closing(sqlite3.connect("")) as database:
        database.executescript(_TABLES)
        rows = ((place, _media(row)) for place, row in old.rows(0, len(old)))
        database.executemany("insert into old values (?, ?)", rows)
        now = ((number, _media(row), line) for number, (row, line) in enumerate(found))
        database.executemany("insert into found values (?, ?, ?)", now)
        if notes.problems:
            raise UserError(f"{path}: is left as it is, as the input cannot be read as a whole; {notes.problems[0]}")
        database.execute(_MATCHED)
        added = database.execute(_ADDED, (len(old),)).rowcount
        counts = Counter({"as before": 0, "new, at the end": added})
        placed = database.execute("select place, row from now join found using (number) order by place")
        following: tuple[int, bytes] | None = placed.fetchone()
        for first, texts in old.blocks(0, len(old)):
            for place, text in enumerate(texts, start=first):
                is_there = following is not None and following[0] == place
                line, change = _merged(text, following[1] if is_there and following else None)
                following = placed.fetchone() if is_there else following
                counts[change] += 1
                yield line
        while following is not None:
            yield following[1]
            following = placed.fetchone()
    notes.tell("rows: " + "; ".join(f"{count} {change}" for change, count in counts.items() if count))


def _merged(text: bytes, now: bytes | None) -> tuple[bytes, str]:
    """The line of an old row, and what became of it."""
    text = text.strip()
    if text == now:
        return now, "as before"
    old = parse_row(text)
    if now is None:
        if _media(old) is None or not isinstance(old, dict):
            return text, "that were not of this input"
        gone = old if old.get("removed") else {"id": old.get("id"), "removed": True, "was": old}
        return to_json(gone), "gone, which keep their place"
    before: Any = old.get("was", old) if isinstance(old, dict) else {}
    kept = {key: value for key, value in before.items() if key not in _OF_THE_INPUT}
    is_back = before is not old
    return to_json({**from_json(now), **kept}), "back again" if is_back else "as before"


def _media(row: object) -> str | None:
    """What tells the media of a row from others: the tar that they lie in, if any, and their name. None without media.

    A row that was removed tells what it was.
    """
    row = as_it_was(row)
    if not isinstance(row, dict):
        return None
    tar, name = row.get("tar"), row.get("image") or row.get("video")
    if not isinstance(name, str):
        return None
    return to_json([tar.get("file") if isinstance(tar, dict) else None, name]).decode()
