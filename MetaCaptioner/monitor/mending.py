"""Moves aside what keeps a result folder from having one record a sample: further records, and lines that are none.

What is moved lies in `mended.jsonl` in the folder, which no reader takes for results: a line for each, with the file
and the number of the line that it comes from, why, and its text. It is there, and on the disk, before it leaves the
result file, which is replaced in one step; so a crash at any moment loses nothing, and mending again goes on.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from MetaCaptioner.errors import ResultError
from MetaCaptioner.planning.expected_rows import NOBODY, expected_rows
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, without_overlaps
from MetaCaptioner.records.duplicates import Once
from MetaCaptioner.records.rank_lock import RankLock, ranks_at_work
from MetaCaptioner.records.reader import read_glances, result_files
from MetaCaptioner.records.record import Told
from MetaCaptioner.records.row_map import Row, RowNumbers
from MetaCaptioner.records.torn_lines import is_torn, what_else
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.durable_rename import sync_folder
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.locks import check_kept, held_alone

ASIDE = "mended.jsonl"
_LOCK = ".mend.lock"
_REPEATED = "another record of the sample counts"
_BROKEN = "no record"
_TORN = "unfinished"


RankOf = Callable[[Row], int]
"""The rank that looks for the record of a sample, in its own files and nowhere else; -1: none does."""


@dataclass(frozen=True)
class Mended:
    """How many lines were moved aside: further records of samples, and what is no record.

    `elsewhere` are the samples of which their rank has no record any more, since only that of another rank is ok.
    """

    repeated: int = 0
    broken: int = 0
    elsewhere: int = 0


def mend(folder: Path, rank_of: RankOf = lambda row: -1, single_launch: bool = False) -> Mended:
    """Leave one record of each sample in a result folder: one that is ok, if possible of its rank, and the first.

    Raises:
        ResultError: a rank is at work there, a file cannot be read or written, or is packed or formatted as a whole.
        NoLocks: whether ranks are at work cannot be told.
    """
    try:
        for path, _ in result_files(folder):
            if (other := what_else(path)) is not None:
                raise ResultError(f"result file {path}: {other}")
        if not single_launch:
            check_kept(folder, f"data folder {folder}")
        with held_alone(folder / _LOCK, f"{folder} whole", not single_launch):
            if busy := ranks_at_work(folder):
                raise ResultError(
                    f"data folder {folder}: {len(busy)} ranks are at work there (such as rank {busy[0]}): mend it "
                    "once they have ended"
                )
            return _mend(folder, rank_of, single_launch)
    except OSError as error:
        raise ResultError(f"data folder {folder}: cannot be mended: {error.strerror or error}") from error


def ranks_by_plan(folder: Path, rows: Sequence[PlanRow]) -> RankOf:
    """The ranks that a plan gives the samples to, and, in its result folder, those that have taken them over."""
    rows = without_overlaps(rows)
    expected, takers = expected_rows(rows), Leases(folder, rows).takers()

    def rank_of(row: Row) -> int:
        planned = expected[row[0]].rank(row[1]) if row[0] in expected else NOBODY
        return takers.get(*row) - 1 if takers.get(*row) else planned

    return rank_of


def ranks_by_captions(captions: Path) -> RankOf:
    """The ranks whose files hold the captions of the samples, of which alone they make scores."""
    ranks = RowNumbers(np.int32)  # from 1
    for path, name in result_files(captions):
        for row in (told.row for told in _records(path)):
            if row is not None:
                ranks.set(*row, name.rank + 1)
    return lambda row: ranks.get(*row) - 1


def _mend(folder: Path, rank_of: RankOf, single_launch: bool) -> Mended:
    files = dict(result_files(folder))
    once = Once(list(files), _records, lambda path, row: rank_of(row) == files[path].rank)
    broken = elsewhere = 0
    for path, name in files.items():
        with RankLock(folder, name.rank, single_launch=single_launch):
            moved = {number: (row, why) for number, row, why in _to_move(path, once)}
            if not moved:
                continue
            broken += sum(why != _REPEATED for _, why in moved.values())
            elsewhere += len({row for row, _ in moved.values() if row and once.is_another_preferred(path, row)})
            _set_aside(folder, path, {number: why for number, (_, why) in moved.items()})
            with atomic_write(path, "result file") as out:
                out.writelines(line for number, line, _ in read_glances(path) if number not in moved)
    return Mended(once.passed_over, broken, elsewhere)


def _records(path: Path) -> Iterator[Told]:
    return (told for _, _, told in read_glances(path) if told is not None)


def _to_move(path: Path, once: Once) -> Iterator[tuple[int, Row | None, str]]:
    """(number of a line, its sample, why it is moved aside)."""
    for number, line, told in read_glances(path):
        if told is None:
            yield number, None, _TORN if is_torn(line) else _BROKEN
        elif not once.counts(path, told.row, told.status == "ok"):
            yield number, told.row, _REPEATED


def _set_aside(folder: Path, path: Path, moved: dict[int, str]) -> None:
    """Have the lines in the file beside, and on the disk, while they are still in the result file."""
    place = folder / ASIDE
    with ExitStack() as stack:
        file = stack.enter_context(place.open("a+b"))
        end = file.seek(0, os.SEEK_END)
        if end and os.pread(file.fileno(), 1, end - 1) != b"\n":
            file.write(b"\n")  # mending was killed while it wrote
        for number, line, _ in read_glances(path):
            if number in moved:
                text = line.decode("utf-8", "surrogateescape")
                told = {"file": path.name, "line": number, "why": moved[number], "text": text}
                file.write(to_json(told) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)


def describe(folder: Path, mended: Mended) -> str:
    """What was done, in a line."""
    if mended == Mended():
        return f"{folder}: nothing to mend"
    told = (
        f"{folder}: moved to {ASIDE}: {mended.repeated} further records of samples that have another one, "
        f"{mended.broken} lines that are no records"
    )
    if mended.elsewhere:
        told += (
            f". Of {mended.elsewhere} samples their rank had failed and another has the record: plan again with "
            "--results before you go on, or they are done again"
        )
    return told
