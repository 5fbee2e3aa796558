"""`runs/Rank*_node*.counts.json`: how the records of a process's result files ended, as it says for whoever watches.

Believed only of a file that is still as it was then, up to where it was read, and only where a sample can neither be
lost by it nor done twice: by `status`, and by a rank that asks which chunks another one has begun.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import UserError
from MetaCaptioner.records.counts import CountedFile
from MetaCaptioner.records.growing_file import Place
from MetaCaptioner.records.reader import ResultName, result_files
from MetaCaptioner.records.row_map import HIGHEST_ROW
from MetaCaptioner.records.row_ranges import RowRanges
from MetaCaptioner.records.scan import OK, Kinds
from MetaCaptioner.utils.atomic_io import atomic_write
from MetaCaptioner.utils.cli import note
from MetaCaptioner.utils.json_text import as_json, read_as, to_json
from MetaCaptioner.utils.safe_open import open_file

RUNS = "runs"
"""The folder, in a result folder, of what its runs say of themselves."""
_MOST_RANGES = 100_000
"""Of one process: more take the time of other threads, and are no longer much shorter than the records."""
_MOST_BYTES = 8 * 2**20  # what so many ranges take, several times
_LEAST_RECORD_BYTES = 32

_Row = Annotated[int, msgspec.Meta(ge=0, le=HIGHEST_ROW + 1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=HIGHEST_ROW)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class _Rows(msgspec.Struct):
    """The rows of a dataset with a record, as `[start, end, start, end, …]`, each `start <= row < end`.

    `failed` are those of the `done` that are not ok, by the kind of their error; `again` those that have further
    records, by how many.
    """

    done: list[_Row]
    failed: dict[str, list[_Row]]
    again: dict[_Count, list[_Row]]


class _File(msgspec.Struct):
    """A result file: its `size` and the time of its last change in ns (Unix) when it was read up to the byte `read_to`,
    and a hash of the last bytes before that."""

    size: _Bytes
    changed_ns: int
    read_to: _Bytes
    check: str
    broken: _Bytes
    strays: _Bytes
    datasets: dict[str, _Rows]


class _Published(msgspec.Struct):
    format: Literal[1]
    files: dict[str, _File]


def published_counts(folder: Path, rank: int | None = None) -> list[CountedFile]:
    """Those of the result files of a folder whose beginning some process has counted, as far as that came; or of the
    files of a rank, by the process of that number.

    What cannot be read, makes no sense or is of a file that has changed since is as if it were not there.
    """
    files = [path for path, _ in result_files(folder, rank)]
    counted: dict[Path, CountedFile] = {}
    for published in sorted((folder / RUNS).glob(f"Rank{'*' if rank is None else rank}_node*.counts.json")):
        for file in _still_true(published, files):
            known = counted.get(file.path)
            if known is None or _read_to(known) < _read_to(file):
                counted[file.path] = file
    return list(counted.values())


def _read_to(file: CountedFile) -> int:
    return 0 if file.place is None else file.place.offset


def _still_true(published: Path, files: Iterable[Path]) -> Iterator[CountedFile]:
    """What one process has published of these files, where that still fits them."""
    said_of = _read(published)
    for path in files:
        said, name = said_of.get(path.name), ResultName.parse(path.name)
        if said is None or name is None:
            continue
        place = Place(said.size, said.changed_ns, said.read_to, said.check)
        if place.goes_on_in(path):
            with suppress(ValueError):
                yield _counted(path, name, place, said)


def _read(path: Path) -> dict[str, _File]:
    try:
        with open_file(path) as file:
            content = file.read(_MOST_BYTES + 1)
        return read_as(content, _Published).files if len(content) <= _MOST_BYTES else {}
    except (OSError, ValueError):
        return {}


def _counted(path: Path, name: ResultName, place: Place, said: _File) -> CountedFile:
    """What was published of a file.

    Raises:
        ValueError: it makes no sense, or is of more records than can stand in so many bytes.
    """
    kinds = Kinds()
    rows = {data_name: _ranges(of, kinds) for data_name, of in said.datasets.items()}
    records = sum(ranges.total for ranges in rows.values())
    if records * _LEAST_RECORD_BYTES + said.strays + said.broken > said.read_to or said.read_to > said.size:
        raise ValueError("more records than bytes")
    return CountedFile(path, name, kinds, place, rows, said.broken, said.strays)


def _ranges(said: _Rows, kinds: Kinds) -> RowRanges:
    done = _sound([(said.done, OK, 1)])
    failed = _sound([(rows, kinds.number(kind), 1) for kind, rows in said.failed.items()])
    again = _sound([(rows, OK, count) for count, rows in said.again.items()])
    cuts = np.unique(np.concatenate([bounds for part in (done, failed, again) for bounds in (part.starts, part.ends)]))
    starts, ends = cuts[:-1], cuts[1:]
    (there, _), (kind, failures), (_, more) = done.at(starts), failed.at(starts), again.at(starts)
    if np.any((failures + more)[there == 0]):
        raise ValueError("rows that are not done")
    endings = np.where(failures > 0, kind, OK).astype(np.uint8)
    return RowRanges(starts, ends, endings, 1 + more).only(there > 0).joined()


def _sound(parts: Iterable[tuple[Sequence[int], int, int]]) -> RowRanges:
    """Ranges in order, of several `[start, end, …]` with an ending and a number of records each.

    Raises:
        ValueError: they have rows in common, or none.
    """
    table = [np.zeros((0, 4), np.int64)]
    for flat, ending, records in parts:
        bounds = np.reshape(np.array(flat, np.int64), (-1, 2))
        table.append(np.column_stack([bounds, np.broadcast_to((ending, records), bounds.shape)]))
    rows = np.concatenate(table)
    starts, ends, endings, times = rows[np.argsort(rows[:, 0], kind="stable")].T
    if np.any(starts >= ends) or np.any(ends[:-1] > starts[1:]):
        raise ValueError("ranges overlap")
    return RowRanges(starts, ends, endings.astype(np.uint8), times)


class CountsPublisher:
    """Counts the result files of a process while they grow, and says for others how far that came.

    `files` are those that are there, `written` those that the process has begun since. It holds no more than some
    ranges of rows: files with too many are left out.
    """

    def __init__(
        self,
        folder: Path,
        rank: int,
        node: int,
        files: Callable[[], Iterable[Path]],
        written: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        self._path = folder / RUNS / f"Rank{rank}_node{node}.counts.json"
        self._list, self._written = files, written
        self._files: list[Path] | None = None
        self._counted: dict[Path, CountedFile] = {}
        self._left_out: set[Path] = set()
        self._kinds = Kinds()
        self._is_said = self._has_failed = False

    def begin(self) -> None:
        """Go on from what an earlier run has said and is still true; it is taken back, for its files grow now."""
        try:
            self._files = list(self._list())  # once: a folder of many ranks is long
            self._counted = {file.path: file for file in _still_true(self._path, self._files)}
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._tell(f"counts for status {self._path}: cannot be begun anew: {error.strerror}")

    def publish(self, is_over: Callable[[], bool]) -> None:
        """Count what is new and say it, unless that is over before; it then goes on from there the next time.

        What goes wrong is told once and changes nothing else.
        """
        try:
            if self._read_on(is_over) and not self._is_said:
                self._write()
                self._is_said = True
        except UserError as error:
            self._tell(str(error))
        except OSError as error:
            self._tell(f"counts for status {self._path}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 the account of the run is kept by the same thread, whatever this meets
            self._tell(f"counts for status {self._path}: {type(error).__name__}: {error}")

    def _read_on(self, is_over: Callable[[], bool]) -> bool:
        if self._files is None:
            self._files = list(self._list())
        for path in dict.fromkeys([*self._files, *self._written(), *self._counted]):  # also what is no more
            name = ResultName.parse(path.name)
            if name is None or path in self._left_out:
                continue
            file = self._counted.setdefault(path, CountedFile(path, name, self._kinds))
            for _ in file.read_on():
                self._is_said = False
                if self._leave_out_the_largest() or is_over():
                    break
            if is_over():
                return False
            file.join()
        self._leave_out_the_largest()
        self._counted = {path: file for path, file in self._counted.items() if file.place is not None}
        return True

    def _leave_out_the_largest(self) -> bool:
        """Forget the files with most ranges until the others are few enough; whether there was one."""
        before = len(self._left_out)
        while sum(file.ranges for file in self._counted.values()) > _MOST_RANGES:
            largest = max(self._counted.values(), key=lambda file: file.ranges)
            self._left_out.add(largest.path)
            del self._counted[largest.path]
        return len(self._left_out) > before

    def _write(self) -> None:
        """Write what was counted, file by file, so that no other thread waits for long."""
        parts = [to_json(path.name) + b": " + as_json(_said(file)) for path, file in self._counted.items()]
        with atomic_write(self._path, "counts for status", sync=False) as out:
            out.write(b'{"format": 1, "files": {' + b",\n".join(parts) + b"}}\n")

    def _tell(self, what: str) -> None:
        if not self._has_failed:
            note(f"{what}; status then counts the result files themselves")
        self._has_failed = True


def _said(file: CountedFile) -> _File:
    place = file.place or Place(0, 0, 0, "")
    names = list(enumerate(file.kinds.names(), start=1))
    datasets = {}
    for data_name, ranges in file.rows.items():
        failed = {kind: _flat(ranges, ranges.endings == number) for number, kind in names}
        again = {int(count): _flat(ranges, ranges.records == count) for count in np.unique(ranges.records)}
        datasets[data_name] = _Rows(
            done=_flat(ranges, ranges.records > 0),
            failed={kind: rows for kind, rows in failed.items() if rows},
            again={count - 1: rows for count, rows in again.items() if count > 1},
        )
    return _File(place.size, place.changed_ns, place.offset, place.check, file.broken, file.strays, datasets)


def _flat(ranges: RowRanges, chosen: NDArray[np.bool_]) -> list[int]:
    """Some ranges as `[start, end, start, end, …]`, which takes a small part of the time of many small lists."""
    alike = ranges.only(chosen).stretches()
    return np.column_stack([alike.starts, alike.ends]).ravel().tolist()
