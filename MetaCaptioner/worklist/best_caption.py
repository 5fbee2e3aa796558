"""The captions to choose from: a sample's first one, and those of it that were made when it was sampled again."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

from MetaCaptioner.agents.thresholds import Thresholds, dimensions_of, why_unmarked
from MetaCaptioner.errors import UserError
from MetaCaptioner.records.caption_records import is_score, resample_folders
from MetaCaptioner.records.claims import has_claims
from MetaCaptioner.records.duplicates import Once
from MetaCaptioner.records.gone_rows import gone_rows
from MetaCaptioner.records.index import RecordIndex
from MetaCaptioner.records.media_identity import same_media
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.records.row_map import caption_hash, row_of

_MARKS = ("caption_hash", "scores", "overall", "reason")

Read = Callable[[int], Iterator[tuple[str, Record]]]
"""(stem of the annotation file, caption record) of every sample that a rank has a record of."""


@dataclass(frozen=True)
class Candidate:
    """A caption record and what the judge says of it. `rounds` counts the rounds that have led to it; 0: the first."""

    record: Record
    score: Record | None
    rounds: int = 0

    def against(self, thresholds: Thresholds | None) -> list[str]:
        """Why it is rejected; nothing if it is good enough."""
        unmarked = why_unmarked(self.record, self.score)
        if unmarked is not None or self.score is None:
            return [unmarked or "no score"]
        return thresholds.against(self.record, self.score) if thresholds else []

    def rank(self, thresholds: Thresholds | None) -> tuple[bool, float, int]:
        """Grows with how good it is: good enough or not, then the mean of the marks, then the lowest.

        Without thresholds, good enough is what was sampled again until those of that run let it through.
        """
        if self.score is None or why_unmarked(self.record, self.score) is not None:
            return False, 0.0, 0
        lowest = min(self.score["scores"].values())
        good_enough = not self.against(thresholds) if thresholds else is_rescued(self.record)
        return good_enough, float(self.score["overall"]), lowest


def is_rescued(record: Record) -> bool:
    """Whether a record is of a caption that was sampled again until the thresholds of that run let it through."""
    rounds: list[Record] = record.get("rounds") or []
    return bool(rounds) and not rounds[-1].get("rejected", True)


def best(candidates: Sequence[Candidate], thresholds: Thresholds | None = None) -> Candidate:
    """The best one; of equals the first. What was marked in other dimensions than the first one is not compared."""
    marked = set(dimensions_of(candidates[0].score))
    comparable = [one for one in candidates if not marked or set(dimensions_of(one.score)) in (marked, set())]
    return max(comparable, key=lambda candidate: candidate.rank(thresholds))


class Candidates:
    """What there is to choose from for the captions of one rank, or of all, looked up in the files.

    Raises:
        ResultError: a result file cannot be read.
    """

    def __init__(self, scores: Path, rank: int | None, folders: Sequence[Path] | None = None) -> None:
        again = resample_folders(scores).values() if folders is None else folders
        self._scores = RecordIndex(path for path, _ in result_files(scores, rank))
        self._again = [RecordIndex(path for path, _ in result_files(folder, rank)) for folder in again]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for index in (self._scores, *self._again):
            index.close()

    def of(self, record: Record) -> list[Candidate]:
        """A caption record's candidates, itself first. Those that were made instead of an earlier caption are none."""
        row = row_of(record)
        if row is None:
            return [Candidate(record, None)]
        score = self._scores.get(*row)
        found = [Candidate(record, score)]
        for index in self._again if isinstance(record.get("caption"), str) else ():
            made = index.get(*row)
            if made is None or is_error(made) or not _is_made_from(made, record):
                continue
            marks = {name: made[name] for name in _MARKS}
            found.append(Candidate(made, {**(score or {}), "status": "ok", **marks}, made["rounds"][-1]["round"]))
        return found


def _is_made_from(made: Record, record: Record) -> bool:
    """Whether a caption was made instead of that of a record as it is now."""
    return made["source"]["caption_hash"] == caption_hash(record["caption"]) and same_media(made, record)


def read_first(folder: Path) -> Read:
    """Reads the captions of a result folder as they were first made, one of each sample that a rank has."""

    def read(rank: int) -> Iterator[tuple[str, Record]]:
        files = result_files(folder, rank)
        once = Once([path for path, _ in files])
        for path, name in files:
            for record in read_records(path):
                if once.counts(path, row_of(record), not is_error(record)):
                    yield name.stem, record

    return read


def read_best(folder: Path, scores: Path) -> Read:
    """Reads the captions of a result folder; those that were sampled again with success as they are now."""

    def read(rank: int) -> Iterator[tuple[str, Record]]:
        candidates = Candidates(scores, rank) if resample_folders(scores) else None
        for stem, record in read_first(folder)(rank):
            yield stem, record if candidates is None else best(candidates.of(record)).record

    return read


def check_are_scores(scores: Path) -> None:
    """Refuse a score folder in which another stage has written, such as captions that were sent there.

    Raises:
        UserError: that; it names the file.
    """
    for path, _ in result_files(scores):
        first = next((record for record in read_records(path) if not is_error(record)), None)
        if first is not None and not is_score(first):
            raise UserError(
                f"score folder {scores}: {path.name} holds no scores ({first['sample_id']} has none, and is of "
                f"{first.get('stage', 'another stage')}): take away what does not belong there, and score again"
            )


def marked_dimensions(scores: Path, wanted: Collection[str]) -> list[str]:
    """What the scores of a folder are marks for, as far as it takes to know of all that are `wanted`."""
    found: dict[str, None] = {}
    for path, _ in result_files(scores) if wanted else ():
        for record in read_records(path):
            found |= dict.fromkeys(dimensions_of(record))
            if found.keys() >= set(wanted):
                return [*found]
    return [*found]


def check_have_claims(captions: Path, thresholds: Thresholds) -> None:
    """Refuse to go by the claims of captions none of which was made with any.

    Raises:
        UserError: that.
    """
    if thresholds.claim is None:
        return
    if not any(has_claims(record) for path, _ in result_files(captions) for record in read_records(path)):
        raise UserError(f"--min-claim: no caption in {captions} has claims; caption with --claims")


def once_in(folder: Path) -> Once:
    """What lets one record of each sample of a result folder that is not gone through, for `all_candidates`."""
    return Once([path for path, _ in result_files(folder)], gone=gone_rows(folder))


def all_candidates(captions: Path, scores: Path, once: Once | None = None) -> Iterator[list[Candidate]]:
    """The candidates of every caption of a folder, a rank after the other; `once` counts what it passes over.

    Raises:
        UserError: the score folder holds no scores.
    """
    check_are_scores(scores)
    once = once or once_in(captions)
    for rank, files in groupby(result_files(captions), lambda file: file[1].rank):
        with Candidates(scores, rank) as candidates:
            for path, _ in files:
                counted = (one for one in read_records(path) if once.counts(path, row_of(one), not is_error(one)))
                yield from (candidates.of(record) for record in counted)
