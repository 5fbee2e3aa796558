"""What build_metafile.py wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from MetaCaptioner import build_metafile
from tests.helpers import Runner

Row = dict[str, Any]


@dataclass(frozen=True)
class Built:
    """How it ended, what it said, the Metafile's datasets and the rows of the last one."""

    status: int
    said: str
    entries: dict[str, Row]
    rows: list[Row]


class Build(Protocol):
    """Runs it; where it made no Metafile there are no entries and no rows."""

    def __call__(self, metafile: Path, kind: str, place: object, *flags: object) -> Built: ...


def builder(run: Runner) -> Build:
    def build(metafile: Path, kind: str, place: object, *flags: object) -> Built:
        given = ("--format", kind, "--input", place, "--metafile", metafile)
        outcome = run.main(build_metafile.main, *given, *flags)
        entries = json.loads(metafile.read_text()) if metafile.exists() else {}
        rows = rows_of(metafile, list(entries)[-1]) if entries else []
        return Built(outcome.status, outcome.said, entries, rows)

    return build


def rows_of(metafile: Path, name: str) -> list[Row]:
    annotation = metafile.parent / json.loads(metafile.read_text())[name]["annotation"]
    return [json.loads(line) for line in annotation.read_text().splitlines()]


def answer(row: Row) -> str | None:
    """The gpt turn of a row."""
    return next((turn["value"] for turn in row.get("conversations", ()) if turn["from"] == "gpt"), None)
