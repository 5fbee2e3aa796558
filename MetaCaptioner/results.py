"""`Rank*_node*_*.jsonl`: append, recover, read back. The only module that opens result files."""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import UserError
from MetaCaptioner.file_pool import PooledFile
from MetaCaptioner.files import write_whole
from MetaCaptioner.journal import CRASHES_BEFORE_ALONE, ENGINE_CRASH, Journal, Past
from MetaCaptioner.record import Record, Told, glance, parse_record
from MetaCaptioner.rows import Row, RowNumbers, row_of

_NAME = re.compile(r"^Rank(?P<rank>\d+)_node(?P<node>\d+)_(?P<stem>.+?)(?:~(?P<part>\d+))?\.jsonl$")
_LOCK_NAME = re.compile(r"^\.Rank(?P<rank>\d+)(?:~(?P<part>\d+))?\.lock$")
_PART = re.compile(r"~\d+$")
PATTERN = "Rank*_node*_*.jsonl"
_LOCK_SECONDS = 5.0


class ResultError(UserError):
    """A result file cannot be written or read; what it holds is kept."""


@dataclass(frozen=True)
class ResultName:
    """What the name of a result file says. A rank's work that several processes share is in parts, from 0."""

    rank: int
    node: int
    stem: str
    part: int = 0

    def __str__(self) -> str:
        # A stem that ends like a part always gets one, so that the last "~n" of a name is its part.
        part = f"~{self.part}" if self.part or _PART.search(self.stem) else ""
        return f"Rank{self.rank}_node{self.node}_{self.stem}{part}.jsonl"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The parts of a file name, or None where it is not that of a result file."""
        match = _NAME.match(name)
        if match is None:
            return None
        return cls(int(match["rank"]), int(match["node"]), match["stem"], int(match["part"] or 0))


def result_files(folder: Path, rank: int | None = None) -> list[tuple[Path, ResultName]]:
    """The result files of `folder` (of one rank) in order of their names; an absent folder has none."""
    pattern = PATTERN if rank is None else f"Rank{rank}_node*_*.jsonl"
    named = ((path, ResultName.parse(path.name)) for path in sorted(folder.glob(pattern)))
    return [(path, name) for path, name in named if name is not None]


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes, Record | None]]:
    """(line number from 1, raw line, record or None where the line is torn or no record), a line at a time.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, parse_record(line)) for number, line in _numbered(path))


def read_glances(path: Path) -> Iterator[tuple[int, bytes, Told | None]]:
    """As `read_lines`, with a glance at each line instead of its record.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, glance(line)) for number, line in _numbered(path))


def read_records(path: Path) -> Iterator[Record]:
    """The sound records of one result file, a line at a time."""
    return (record for _, _, record in read_lines(path) if record is not None)


def read_places(path: Path) -> Iterator[tuple[int, Told]]:
    """(offset in bytes, what is told there) of each sound line.

    Raises:
        ResultError: the file cannot be read.
    """
    offset = 0
    for _, line in _numbered(path):
        if (told := glance(line)) is not None:
            yield offset, told
        offset += len(line)


class PlacedRecords:
    """Files of records, each with a number from 1, and the records at their places in them."""

    _OFFSET_BITS = 44

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._files: dict[Path, PooledFile] = {}

    def add_file(self, path: Path) -> int:
        """The number of a file."""
        self._paths.append(path)
        return len(self._paths)

    def place(self, number: int, offset: int) -> int:
        """What stands for the line that begins at `offset` bytes of a file; 64 bits, never 0."""
        return number << self._OFFSET_BITS | offset

    def path(self, place: int) -> Path:
        """The file of a place."""
        return self._paths[(place >> self._OFFSET_BITS) - 1]

    def read(self, place: int) -> Record | None:
        """The record at a place; None where there is none (any more).

        Raises:
            ResultError: its file cannot be read.
        """
        path, offset = self.path(place), place & (1 << self._OFFSET_BITS) - 1
        try:
            if path not in self._files:
                self._files[path] = PooledFile(path)
            return parse_record(self._files[path].line(offset))
        except OSError as error:
            raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def rewrite(path: Path, keep: Callable[[Record], bool]) -> int:
    """Write `path` again with only the sound records that `keep` accepts, in one atomic step.

    Returns:
        The number of lines dropped.
    """
    dropped = 0
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            for _, line, record in read_lines(path):
                if record is not None and keep(record):
                    out.write(line)
                else:
                    dropped += 1
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be repaired: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return dropped


class DoneSamples:
    """Which samples have a record, by dataset and row."""

    def __init__(self) -> None:
        self._rows = RowNumbers(np.bool_)

    def add(self, told: Told) -> None:
        """Note the sample of a record; one without a sound identity is passed over."""
        if told.data_name is not None and told.index is not None and told.index >= 0:
            self.mark(told.data_name, told.index)

    def mark(self, name: str, index: int) -> None:
        self._rows.set(name, index, True)

    def mark_all(self, name: str, indexes: NDArray[np.integer]) -> None:
        self._rows.set_all(name, indexes, True)

    def has(self, name: str, index: int) -> bool:
        return bool(self._rows.get(name, index))

    def have(self, name: str, indexes: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Which of many rows are done, in their order."""
        return self._rows.get_all(name, indexes).astype(np.bool_)

    def without(self, name: str, start: int, end: int) -> Iterator[int]:
        """Those of the rows `start <= index < end` that are not done."""
        return self._rows.without(name, start, end)

    def count(self, name: str, start: int, end: int) -> int:
        """How many of the rows `start <= index < end` are done."""
        return self._rows.count(name, start, end)


def done_samples(folder: Path, rank: int) -> DoneSamples:
    """The samples that have a record in the files of a rank."""
    done = DoneSamples()
    for path, _ in result_files(folder, rank):
        for _, _, told in read_glances(path):
            if told is not None:
                done.add(told)
    return done


def ranks_at_work(folder: Path) -> list[int]:
    """The ranks of `folder` that are being worked on now, as far as the file system knows locks."""
    return sorted({rank for rank, _ in _held_locks(folder)})


def _held_locks(folder: Path) -> Iterator[tuple[int, Path]]:
    """(rank, lock file) of each lock that a process holds alone."""
    for path in folder.glob(".Rank*.lock"):
        if match := _LOCK_NAME.match(path.name):
            with suppress(OSError), path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield int(match["rank"]), path


class RankResults:
    """The result files of one rank: recovered when opened, then appended to.

    Where `parts` processes share a rank, this is the `part`-th of them (from 0): it writes part `part`, and looks after
    that and every `parts`-th one from it, which earlier runs of more processes may have left.

    Only one process at a time may hold them; the lock is released with the process, however it ends.

    Raises:
        ResultError: the folder cannot be written, or another process has this rank.
    """

    def __init__(self, folder: Path, rank: int, node: int, part: int = 0, parts: int = 1) -> None:
        self.folder = folder
        self.rank = rank
        self.node = node
        self.part = part
        self.parts = parts
        self._open_files: dict[str, PooledFile] = {}
        # Processes that share a rank hold it together and their parts alone; a process that has it all holds it alone.
        with ExitStack() as held:
            self._locks = [_lock(folder, f".Rank{rank}.lock", rank, shared=parts > 1)]
            held.callback(os.close, self._locks[0])
            if parts > 1:
                self._locks.append(_lock(folder, f".Rank{rank}~{part}.lock", rank, shared=False))
                held.callback(os.close, self._locks[1])
            self.journal = Journal(folder / (f".Rank{rank}~{part}.journal" if parts > 1 else f".Rank{rank}.journal"))
            held.pop_all()
        self.repaired = self._recover()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, text: bytes) -> None:
        """Leave word for others, as long as this is held, in its lock.

        Raises:
            ResultError: it cannot be written.
        """
        try:
            os.ftruncate(self._locks[-1], 0)
            os.pwrite(self._locks[-1], text, 0)
        except OSError as error:
            raise ResultError(f"output folder {self.folder}: cannot be written: {error.strerror}") from error

    def told_by_others(self) -> list[bytes]:
        """What other processes that work in the folder now tell, as far as the file system knows locks."""
        own, told = os.fstat(self._locks[-1]).st_ino, []
        for _, path in _held_locks(self.folder):
            with suppress(OSError), path.open("rb") as file:
                if os.fstat(file.fileno()).st_ino != own:
                    told.append(file.read())
        return told

    def files(self) -> list[Path]:
        """The files that are this process's to change, from any node it ever ran on."""
        return [path for path, name in result_files(self.folder, self.rank) if name.part % self.parts == self.part]

    def done(self, unwanted: Callable[[Record], bool] | None = None) -> DoneSamples:
        """The samples that have a record in any part of this rank.

        `unwanted` ones in the parts of others do not count: whoever has those takes them out, sooner or later.
        """
        if unwanted is None or self.parts == 1:
            return done_samples(self.folder, self.rank)
        done, own = DoneSamples(), self.files()
        for path, _ in result_files(self.folder, self.rank):
            for record in read_records(path):
                row = row_of(record)
                if row is not None and (path in own or not unwanted(record)):
                    done.mark(*row)
        return done

    def _recover(self) -> int:
        """Drop torn and broken lines, so that their samples are done again. Returns how many lines went."""
        return sum(_repair(path) for path in self.files())

    def drop(self, unwanted: Callable[[Record], bool]) -> int:
        """Take records out, so that their samples are pending again as if never tried. Returns how many went."""
        return self._take_out(unwanted, lambda record: Past())

    def retry(self, failed: Callable[[Record], bool]) -> None:
        """Take failures out, so that they are done again. What they have behind them is in the journal by then."""
        self._take_out(failed, _past)

    def _take_out(self, unwanted: Callable[[Record], bool], past: Callable[[Record], Past]) -> int:
        """Take records out once the journal tells of their samples' `past`, and of nothing else."""
        found: set[Path] = set()

        def samples() -> Iterator[tuple[Row, Past]]:
            for path in self.files():
                for record in read_records(path):
                    if unwanted(record):
                        found.add(path)
                        if (row := row_of(record)) is not None:
                            yield row, past(record)

        self.journal.remember(samples())
        return sum(rewrite(path, lambda record: not unwanted(record)) for path in sorted(found))

    def append(self, stem: str, record: Record) -> None:
        """Write one record as one line, in one system call, to the file of annotation file `stem`.

        Raises:
            ResultError: the disk is full or the like; a part of a line that got through is taken back.
        """
        line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"
        path = self.folder / str(ResultName(self.rank, self.node, stem, self.part))
        try:
            if stem not in self._open_files:
                self._open_files[stem] = PooledFile(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            with self._open_files[stem].descriptor() as descriptor:
                write_whole(descriptor, line)
        except OSError as error:
            raise ResultError(
                f"result file {path}: cannot be written: {error.strerror}; what it holds is kept"
            ) from error
        if (row := row_of(record)) is not None:
            self.journal.end(*row)

    def close(self) -> None:
        """Flush to disk and release the rank.

        Raises:
            ResultError: the disk took the records, but cannot keep them.
        """
        failure: OSError | None = None
        for file in self._open_files.values():
            try:
                with file.descriptor() as descriptor:
                    os.fsync(descriptor)
            except OSError as error:
                failure = error
            with suppress(OSError):
                file.close()
        self._open_files.clear()
        self.journal.close()
        for lock in self._locks:
            os.close(lock)
        if failure is not None:
            raise ResultError(f"result files of rank {self.rank} in {self.folder}: {failure.strerror}") from failure


def _lock(folder: Path, name: str, rank: int, shared: bool) -> int:
    """Lock a file of the result folder; returns its descriptor, with which the lock ends.

    Raises:
        ResultError: the folder cannot be written, or another process has the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise ResultError(f"output folder {folder}: cannot be written: {error.strerror}") from error
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError as error:  # for a moment after a kill by one that is still dying
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            os.close(descriptor)
            raise ResultError(f"rank {rank} is being worked on by another process in {folder}") from error
        except OSError:
            pass  # a file system without locks: two processes on one rank are then the user's to avoid
        with suppress(OSError):
            os.ftruncate(descriptor, 0)  # what an earlier process told
        return descriptor


def _past(record: Record) -> Past:
    """What a failed sample has behind it. One that killed its workers goes alone at once when it is tried again."""
    kind = (record.get("error") or {}).get("kind")
    return Past(int(record.get("attempts") or 1), CRASHES_BEFORE_ALONE if kind == ENGINE_CRASH else 0)


def _repair(path: Path) -> int:
    """Drop the lines of `path` that are no records; a torn last line is cut off in place. Returns how many went."""
    broken, torn = 0, 0
    for _, line, told in read_glances(path):
        if told is None:
            broken, torn = broken + 1, 0 if line.endswith(b"\n") else len(line)
    if broken == 0:
        return 0
    if broken > 1 or not torn:
        return rewrite(path, lambda record: True)
    try:
        os.truncate(path, path.stat().st_size - torn)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be repaired: {error.strerror}") from error
    return 1
