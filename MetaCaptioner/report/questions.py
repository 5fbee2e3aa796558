"""What an evaluation of a run's captions found, for the page: its table, and some questions with all their answers."""

import heapq
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from MetaCaptioner.records.caption_records import is_caption
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error, told_error
from MetaCaptioner.report.gallery import clip
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.worklist.questions import CaptionsOf

_TEXT_CHARACTERS = 4000
_Key = tuple[str, int]
"""A question: its dataset, and its number there."""


def evaluation_of(answers: Path, captions: Path, limit: int) -> Record | None:
    """The table of an evaluation, and at most so many of its questions; None where there is none.

    Raises:
        ResultError: an answer cannot be read.
    """
    table: object = None
    with suppress(OSError, ValueError):
        table = from_json(read_file(answers / "table.json"))
    if not isinstance(table, dict) or not result_files(answers):
        return None
    chosen = dict.fromkeys(_chosen(answers, limit))
    found: dict[_Key, list[Record]] = {key: [] for key in chosen}
    for key, record in _asked(answers):
        if key in found:
            found[key].append(record)
    with closing(CaptionsOf(captions)) as texts:
        questions = [_shown(key, records, texts) for key, records in found.items() if records]
    return {"table": table, "questions": questions}


def _asked(answers: Path) -> Iterator[tuple[_Key, Record]]:
    for path, _ in result_files(answers):
        for record in read_records(path):
            index, asked = record.get("index"), record.get("asked")
            if isinstance(index, int) and isinstance(asked, dict):
                yield (str(record.get("data_name")).rpartition("@")[0], index), record


def _chosen(answers: Path, limit: int) -> list[_Key]:
    """Some questions, the same each time, from all over."""
    keys = (key for key, record in _asked(answers) if record.get("variant") == "captions")
    return heapq.nsmallest(limit, set(keys), key=lambda key: (zlib.crc32(f"{key[0]}/{key[1]}".encode()), key))


def _shown(key: _Key, records: list[Record], texts: CaptionsOf) -> Record:
    """What the page is given of one question."""
    dataset, index = key
    asked: Record = records[0]["asked"]
    shown = [one.get("index") for one in asked.get("shown", ()) if isinstance(one, dict)]
    options = asked.get("options") or {}
    return {
        "id": f"{dataset}/{index}",
        "benchmark": str(asked.get("benchmark", "")),
        "category": asked.get("category"),
        "question": clip(asked.get("question", ""), _TEXT_CHARACTERS),
        "options": [[str(letter), clip(text, _TEXT_CHARACTERS)] for letter, text in options.items()],
        "truth": [clip(one, _TEXT_CHARACTERS) for one in asked.get("answers", ())],
        "captions": [_caption(texts.record(dataset, one)) for one in shown if isinstance(one, int)],
        "answers": [_answer(record) for record in records],
    }


def _caption(record: Record | None) -> str:
    return clip(record["caption"]) if record is not None and is_caption(record) else ""


def _answer(record: Record) -> Record:
    error = told_error(record) if is_error(record) else {}
    return {
        "variant": str(record.get("variant")),
        "answer": clip(record.get("answer") or "", _TEXT_CHARACTERS),
        "taken": clip(record.get("taken") or "", _TEXT_CHARACTERS),
        "mark": record.get("mark"),
        "judged": bool(record.get("judged")),
        "problem": clip(error.get("message", ""), _TEXT_CHARACTERS) if error else None,
    }
