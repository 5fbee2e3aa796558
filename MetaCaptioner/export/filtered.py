"""What a filter left behind: where, with which thresholds, and whether it is still what the results hold."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from MetaCaptioner.agents.thresholds import has_marks
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.media_identity import named_in
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, told_of
from MetaCaptioner.records.row_map import RowNumbers, row_of
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write
from MetaCaptioner.utils.cli import note
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.worklist.best_caption import Candidate, all_candidates

KEPT, REJECTED, SUMMARY = "kept.jsonl", "rejected.jsonl", "summary.json"
_POINTER = ".filtered.json"


def remember_place(data_folder: Path, output: Path) -> None:
    """Let later exports of a result folder find what was filtered last, if that is not in its usual place."""
    pointer = data_folder / _POINTER
    try:
        if output.absolute() == (data_folder / "filtered").absolute():
            pointer.unlink(missing_ok=True)
            return
        with atomic_write(pointer, "pointer") as file:
            file.write(to_json({"filtered": os.path.relpath(output, data_folder)}) + b"\n")
    except (NotWritten, OSError):  # results may well be read-only, which is a reason to filter into another place
        note(f"{data_folder} cannot be written; name this folder to exports: --filtered {output}")


def find_place(data_folder: Path) -> Path:
    """The folder that was filtered into last; the usual place where nothing else is known.

    Raises:
        UserError: what tells of it cannot be read.
    """
    pointer = data_folder / _POINTER
    try:
        return Path(os.path.normpath(data_folder / str(from_json(read_file(pointer))["filtered"])))
    except FileNotFoundError:
        return data_folder / "filtered"
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{pointer}: cannot be read ({error}); name the folder by --filtered") from error


def read_summary(folder: Path) -> dict[str, Any] | None:
    """The summary of a filter, which it writes last; None where there is none, so that it did not come to an end."""
    try:
        content = from_json(read_file(folder / SUMMARY))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def score_folder(summary: Record, data_folder: Path) -> Path:
    """Where the scores lie that a filter went by."""
    told = summary.get("score_folder")
    usual = data_folder / "score"
    return Path(told) if isinstance(told, str) and result_files(Path(told)) else usual


@dataclass
class Stale:
    """How many captions of a filter are not what the results hold now, with the first of each kind.

    `kept` ones were made or marked anew or are gone; `others`, rejected or new, may be kept once filtered again.
    """

    kept: int = 0
    first_kept: str = ""
    others: int = 0
    first_other: str = ""


@dataclass
class Comparison:
    """Compares what was filtered with the results: a look at each kept record, then `stale`. 17 bytes a row."""

    folder: Path
    captions: Path
    scores: Path
    _kept: RowNumbers = field(default_factory=lambda: RowNumbers(np.uint64))
    _rejected: RowNumbers = field(default_factory=lambda: RowNumbers(np.uint64))
    _seen: DoneSamples = field(default_factory=DoneSamples)

    def __post_init__(self) -> None:
        self._marked = bool(result_files(self.scores))

    def possible(self) -> bool:
        """Whether the results are there at all."""
        return bool(result_files(self.captions))

    def look(self, record: Record) -> None:
        """Note a kept record."""
        self._note(self._kept, record)

    def stale(self) -> Stale:
        """The count, after a look through all results.

        Raises:
            UserError: a file cannot be read.
        """
        found = Stale()
        rejected = self.folder / REJECTED
        for record in read_records(rejected) if rejected.is_file() else ():
            self._note(self._rejected, record)
        for candidates in all_candidates(self.captions, self.scores):
            row = row_of(candidates[0].record)
            if row is None:
                continue
            if not self._seen.has(*row):
                found.others += 1
                found.first_other = found.first_other or candidates[0].record["sample_id"]
                continue
            prints = {self._print(record) for record in _as_filtered(candidates)}
            for rows in (self._kept, self._rejected):
                if rows.get(*row) in prints:
                    rows.set(*row, 0)
        return self._with_unmatched(found)

    def _with_unmatched(self, found: Stale) -> Stale:
        for name, index in self._kept.rows():
            found.kept, found.first_kept = found.kept + 1, found.first_kept or f"{name}/{index}"
        for name, index in self._rejected.rows():
            found.others, found.first_other = found.others + 1, found.first_other or f"{name}/{index}"
        return found

    def _note(self, rows: RowNumbers, record: Record) -> None:
        if (row := row_of(record)) is not None:
            rows.set(*row, self._print(record))
            self._seen.mark(*row)

    def _print(self, record: Record) -> int:
        """64 bits, not 0, that stand for a caption, its media, and its marks, where there are any to compare."""
        marks = [record.get(name) for name in ("scores", "overall")] if self._marked else []
        of = [record.get("caption"), named_in(told_of(record))]
        content = json.dumps([*of, marks], sort_keys=True).encode()  # noqa: TID251 for a hash
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest()) or 1


def marks_of(candidate: Candidate) -> Record:
    """What a filtered record has of its score."""
    score = candidate.score if candidate.score is not None and has_marks(candidate.score) else {}
    return {name: score[name] for name in ("scores", "overall", "reason") if name in score}


def _as_filtered(candidates: list[Candidate]) -> Iterator[Record]:
    return ({**candidate.record, **marks_of(candidate)} for candidate in candidates)
