"""What of the datasets remains once the records of earlier results are taken off."""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import ResultError, UserError
from MetaCaptioner.planning.provenance import Misfits, Others, Provenance, made_otherwise, stated
from MetaCaptioner.planning.survey import DatasetWork
from MetaCaptioner.records.media_identity import GONE, OTHER_MEDIA, mark, of_record, of_renamed
from MetaCaptioner.records.rank_lock import ranks_at_work
from MetaCaptioner.records.reader import ResultName, check_torn, read_glances, result_files, stem_in_names
from MetaCaptioner.records.record import Record, has_failed, is_without_media, may_yet_succeed, told_of
from MetaCaptioner.records.row_map import row_of
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils.cli import note, say
from MetaCaptioner.utils.locks import check_kept
from MetaCaptioner.utils.parallel import parallel_map

_PROBED_RECORDS = 20
_HIGHEST_ROW = 2**62  # of whatever numbers records may tell, all behind any row


def take_off_results(
    works: Sequence[DatasetWork], results: Path, retry_errors: bool, others: Others, single_launch: bool = False
) -> None:
    """Clear what has a record in `results`; with `retry_errors` failures are taken out of there first.

    Records of other media than their rows name now, or of a dataset that has another name now, count only if the user
    wants to keep them; those that are to be made again are taken out too.

    Raises:
        UserError: there is no such folder, a rank is at work in it, or it holds such records and there is no word of
            what is to become of them.
    """
    if not results.is_dir():
        raise UserError(f"--results {results}: there is no such folder")
    if busy := _ranks_at_work(results, single_launch):
        raise UserError(
            f"--results {results}: {len(busy)} ranks are at work there (such as rank {busy[0]}); what they finish from "
            "now on would be done twice: stop that run first, then plan again"
        )
    if retry_errors:
        say(f"{drop_errors(results, works, single_launch)} failed samples will be tried again")
    if not result_files(results):
        note(f"{results} holds no results (Rank*_node*_*.jsonl): everything is planned")
    there = _Results(works, others, single_launch)
    there.read(results)
    there.settle(results)
    repair(results, there.torn_ranks, single_launch)


def _ranks_at_work(results: Path, single_launch: bool) -> list[int]:
    """The ranks at work in a result folder; that this cannot be told is refused, or said in a folder of others.

    Raises:
        NoLocks: the file system keeps no locks, by which they are known.
    """
    try:
        if not single_launch:
            check_kept(results, f"--results {results}")
        return ranks_at_work(results)
    except (OSError, ResultError) as error:
        reason = getattr(error, "strerror", None) or error
        note(f"--results {results}: whether ranks are at work there cannot be told ({reason})")
        return []


@dataclass(frozen=True)
class _FirstRecord:
    """One of the first records of a dataset that is not planned: the root, number and mark of its media."""

    root: str | None
    row: int
    media: int


@dataclass
class _Read:
    """What one result file holds: by dataset the rows with a record, the marks of their media and whether they are made
    as the folder says, and its torn lines."""

    done: dict[str, "tuple[array[int], array[int], array[int]]"] = field(default_factory=dict)
    otherwise: Misfits = field(default_factory=Misfits)
    beyond: dict[str, "array[int]"] = field(default_factory=dict)
    unknown: dict[str, list[_FirstRecord]] = field(default_factory=dict)
    unknown_records: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    torn: int = 0


def _read_file(task: tuple[Path, Mapping[str, int], Sequence[Provenance]]) -> _Read:
    """What one result file holds of datasets of these lengths, where records are made as `stated`."""
    path, lengths, stated = task
    read = _Read()
    for number, line, told in read_glances(path):
        if told is None:
            check_torn(path, number, line)
            read.torn += 1
        elif told.data_name is not None and told.index is not None and told.index >= 0:
            length, media = lengths.get(told.data_name), mark(of_record(told))
            if length is None:
                read.unknown_records[told.data_name] += 1
                first = read.unknown.setdefault(told.data_name, [])
                if media and len(first) < _PROBED_RECORDS:
                    first.append(_FirstRecord(told.root, told.index, media))
                continue
            reasons = made_otherwise(told, stated)
            read.otherwise.add(reasons)
            read.failed += has_failed(told)
            if told.index < length:
                rows, marks, otherwise = read.done.setdefault(told.data_name, (array("q"), array("I"), array("b")))
                rows.append(told.index)
                marks.append(media)
                otherwise.append(bool(reasons))
            else:
                read.beyond.setdefault(told.data_name, array("q")).append(min(told.index, _HIGHEST_ROW))
    return read


class _Results:
    """Takes the records of a result folder off what is to be done, and finds those that do not fit the rows."""

    def __init__(self, works: Sequence[DatasetWork], others: Others, single_launch: bool) -> None:
        self.torn_ranks: set[int] = set()
        self._single_launch = single_launch
        self._works = {work.name: work for work in works}
        self._others = others
        self._found = Misfits()
        self._ranks: set[int] = set()
        self._renamed: dict[str, str] = {}
        self._beyond = Counter[str]()
        self._stated: list[Provenance] = []
        self._failed = 0

    def read(self, results: Path) -> None:
        """Read all result files, in several processes where that is worth it."""
        files = result_files(results)
        lengths = {name: len(work.pending) for name, work in self._works.items()}
        paths = [path for path, _ in files]
        said = stated(results)
        self._stated = said[-1:] if self._others == "redo" else said  # what was kept beside the newest is no more
        reads = parallel_map(_read_file, [(path, lengths, self._stated) for path in paths], paths)
        for (_, name), read in zip(files, reads, strict=True):
            before = self._found.records
            self._take_off(read, name)
            self._failed += read.failed
            if read.torn:
                self.torn_ranks.add(name.rank)
            if self._found.records > before:
                self._ranks.add(name.rank)
        if self._failed:
            note(
                f"{results}: {self._failed} samples have failed there and count as done, so that no run of this "
                "plan tries them again: plan with --retry-errors for that"
            )
        for data_name, count in self._beyond.items():
            if count:
                note(f"{results}: {count} records are of rows of '{data_name}' that sample_count leaves out")

    def _take_off(self, read: _Read, name: ResultName) -> None:
        for data_name, (rows, marks, otherwise) in read.done.items():
            unlike = np.frombuffer(otherwise, np.bool_)
            marked = np.frombuffer(marks, np.uint32)
            self._take_off_rows(self._works[data_name], np.frombuffer(rows, np.int64), marked, unlike)
        self._found.include(read.otherwise)
        for data_name, records in read.unknown.items():
            now = self._renamed_to(records, name.stem)
            if now is not None:
                self._renamed[data_name] = now
                reason, count = of_renamed(data_name, now), read.unknown_records[data_name]
                self._found.include(Misfits(count, Counter({reason: count}), {reason: f"{data_name}/{records[0].row}"}))
        for data_name, rows in read.beyond.items():
            gone = [row for row in rows if row >= self._works[data_name].length]
            for row in gone:
                self._found.add({GONE: f"{data_name}/{row}"})
            self._beyond[data_name] += len(rows) - len(gone)

    def _take_off_rows(
        self, work: DatasetWork, rows: NDArray[np.int64], marks: NDArray[np.uint32], otherwise: NDArray[np.bool_]
    ) -> None:
        of_others = (marks != 0) & (marks != work.media[rows])
        for row in rows[of_others].tolist():
            self._found.add({OTHER_MEDIA: f"{work.name}/{row}"})
        work.pending[rows if self._others == "keep" else rows[~(of_others | otherwise)]] = False

    def _renamed_to(self, records: Sequence[_FirstRecord], stem: str) -> str | None:
        """The dataset, if any, that records of another name are of: with the same annotation file, root and media."""
        for work in self._works.values() if records else ():
            if stem_in_names(work.dataset.annotation.stem) == stem and all(_is_of(record, work) for record in records):
                return work.name
        return None

    def settle(self, results: Path) -> None:
        """Refuse what does not fit, or take it out, as the user wants.

        Raises:
            UserError: there is no word of the user's.
            ResultError: a rank is being worked on.
        """
        if self._found.records and self._others == "refuse":
            raise UserError(
                f"--results {results}: records do not fit what would be planned: {self._found}. --keep counts them as "
                "done, --redo takes them out and plans their samples again; or plan for another folder"
            )
        if self._found.records and self._others == "redo":
            dropped = 0
            for rank in sorted(self._ranks):
                with RankResults(results, rank, node=0, single_launch=self._single_launch) as files:
                    dropped += files.drop(self._is_misfit)
            note(f"{dropped} records are taken out, and their samples planned again: {self._found}")
        elif self._found.records:
            note(f"{self._found.records} records are kept: {self._found}")

    def _is_misfit(self, record: Record) -> bool:
        told = told_of(record)
        work = self._works.get(str(told.data_name))
        if work is None:
            return told.data_name in self._renamed
        if made_otherwise(told, self._stated):
            return True
        media, row = mark(of_record(told)), told.index
        if row is not None and row >= work.length:
            return True
        return row is not None and 0 <= row < len(work.media) and media not in (0, int(work.media[row]))


def _is_of(record: _FirstRecord, work: DatasetWork) -> bool:
    is_there = record.row < len(work.media) and record.root is not None
    return is_there and Path(str(record.root)) == work.dataset.root and int(work.media[record.row]) == record.media


def repair(results: Path, ranks: Iterable[int], single_launch: bool = False) -> None:
    """Drop the torn lines of some ranks, which may have no part in the next run. What cannot be repaired is told."""
    for rank in sorted(ranks):
        try:
            with RankResults(results, rank, node=0, single_launch=single_launch) as files:
                note(f"{files.repaired} torn lines of rank {rank} are dropped; their samples are planned again")
        except ResultError as error:
            note(str(error))


def drop_errors(results: Path, works: Sequence[DatasetWork] = (), single_launch: bool = False) -> int:
    """Take the error records out of the result files, so that they are planned again, for whichever rank.

    Those of rows without media stay, unless the row is of `works` and names some now: nothing would come of them.

    Raises:
        ResultError: a rank is being worked on.
    """
    media = {work.name: work.media for work in works}

    def unwanted(record: Record) -> bool:
        row = row_of(record) if is_without_media(record) else None
        of_row = media.get(row[0], ())[row[1] : row[1] + 1] if row is not None else ()
        return may_yet_succeed(record) or any(of_row)

    dropped = 0
    for rank in sorted({name.rank for _, name in result_files(results)}):
        with RankResults(results, rank, node=0, single_launch=single_launch) as files:
            dropped += files.drop(unwanted)
    return dropped
