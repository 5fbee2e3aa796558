"""Bringing an annotation file up to date with an input that has grown or shrunk.

A sample is known by the name of its dataset and the number of its row, and results refer to that. So what is found
again keeps its row, what is new comes at the end, and the row of what is gone stays, without media, to keep its place.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from inputs.found import Notes, Row

from MetaCaptioner.annotation import AnnotationFile, parse_row
from MetaCaptioner.errors import UserError

_OF_THE_INPUT = ("id", "image", "video", "tar", "conversations")
_TABLES = """
    create table old (media text, place integer, primary key (media, place)) without rowid;
    create table now (place integer primary key, row text);
"""


def in_old_places(path: Path, found: Iterable[Row], notes: Notes) -> Iterator[bytes]:
    """The lines of the annotation file at `path` as it should be now that `found` are the rows of its input.

    What a row has of others than the input, such as a task, is kept. The numbers of rows wait in a temporary database
    on disk, so that memory does not grow with them.

    Raises:
        UserError: the file cannot be read, or a part of the input could not, whose rows would be taken for gone.
    """
    with closing(AnnotationFile(path)) as old, closing(sqlite3.connect("")) as database:
        database.executescript(_TABLES)
        media = ((_media(row), place) for place, row in old.rows(0, len(old)))
        database.executemany("insert into old values (?, ?)", (pair for pair in media if pair[0] is not None))
        added = _place(database, found, len(old))
        if notes.problems:
            raise UserError(f"{path}: is left as it is, as the input cannot be read as a whole; {notes.problems[0]}")
        counts = Counter({"as before": 0, "new, at the end": added})
        for first, texts in old.blocks(0, len(old)):
            for place, text in enumerate(texts, start=first):
                row, change = _merged(text, _now(database, place))
                counts[change] += 1
                yield row
        yield from (row.encode() for (row,) in database.execute("select row from now where place >= ?", (len(old),)))
    notes.tell("rows: " + "; ".join(f"{count} {change}" for change, count in counts.items() if count))


def _place(database: sqlite3.Connection, found: Iterable[Row], behind: int) -> int:
    """Give each row that was found the place of the first old one of the same media that is left, or one at the end.

    Returns how many are new. Rows that are no UTF-8 text have been left out before.
    """
    added = 0
    for row in found:
        media = _media(row)
        known = database.execute("select min(place) from old where media = ?", (media,)).fetchone()[0]
        if known is None:
            place, added = behind + added, added + 1
        else:
            place = known
            database.execute("delete from old where media = ? and place = ?", (media, place))
        database.execute("insert into now values (?, ?)", (place, json.dumps(row, ensure_ascii=False)))
    return added


def _now(database: sqlite3.Connection, place: int) -> Row | None:
    row = database.execute("select row from now where place = ?", (place,)).fetchone()
    return None if row is None else json.loads(row[0])


def _merged(text: bytes, now: Row | None) -> tuple[bytes, str]:
    """The line of an old row, and what became of it."""
    old = parse_row(text)
    if now is None:
        if _media(old) is None or not isinstance(old, dict):
            return text.strip(), "that were not of this input"
        gone = old if old.get("removed") else {"id": old.get("id"), "removed": True, "was": old}
        return _line(gone), "gone, which keep their place"
    before: Any = old.get("was", old) if isinstance(old, dict) else {}
    kept = {key: value for key, value in before.items() if key not in _OF_THE_INPUT}
    is_back = before is not old
    return _line({**now, **kept}), "back again" if is_back else "as before"


def _line(row: Row) -> bytes:
    """The row as JSON, in ASCII where old texts are no UTF-8."""
    try:
        return json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(row).encode()


def _media(row: object) -> str | None:
    """What tells the media of a row from others: the tar that they lie in, if any, and their name. None without media.

    A row that was removed tells what it was.
    """
    if not isinstance(row, dict):
        return None
    if row.get("removed"):
        return _media(row.get("was"))
    tar, name = row.get("tar"), row.get("image") or row.get("video")
    if not isinstance(name, str):
        return None
    return json.dumps([tar.get("file") if isinstance(tar, dict) else None, name])
