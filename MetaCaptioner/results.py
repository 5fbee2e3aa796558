"""`Rank*_node*_*.jsonl`: append, recover, read back. The only module that opens result files."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.errors import ENGINE_CRASH
from MetaCaptioner.errors import ResultError as ResultError
from MetaCaptioner.file_pool import PooledFile
from MetaCaptioner.files import NotWritten, atomic_write, shortened, write_whole
from MetaCaptioner.in_place import sync_folder
from MetaCaptioner.journal import CRASHES_BEFORE_ALONE, Journal, Past
from MetaCaptioner.json_text import as_json, read_as, to_json
from MetaCaptioner.locks import is_at
from MetaCaptioner.opening import open_file
from MetaCaptioner.rank_lock import RankLock
from MetaCaptioner.record import Record, Told, attempts_of, glance, parse_record, told_error
from MetaCaptioner.rows import Row, RowNumbers, row_of
from MetaCaptioner.torn import is_torn, what_is_wrong

_NAME = re.compile(r"Rank(?P<rank>\d+)_node(?P<node>\d+)_(?P<stem>.+?)(?:~(?P<part>\d+))?\.jsonl", re.DOTALL)
_PART = re.compile(r"~\d+$")
PATTERN = "Rank*_node*_*.jsonl"
_GONE = {errno.ENOENT, errno.ESTALE}  # of a file that was there
_LONGEST_STEM_BYTES = 100  # file systems take names of 255, some of 143; rank, node, part and suffix stand around it


class Word(msgspec.Struct, frozen=True):
    """What a process at work tells others: what it makes its records with, and the fingerprint of its plan, if any."""

    stage: str
    model: str
    prompts: str
    plan: str = ""


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
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(int(match["rank"]), int(match["node"]), match["stem"], int(match["part"] or 0))


def stem_in_names(stem: str) -> str:
    """The stem of an annotation file as names of result files have it: of a long one the beginning and a hash."""
    return shortened(stem, _LONGEST_STEM_BYTES)


def result_files(folder: Path, rank: int | None = None) -> list[tuple[Path, ResultName]]:
    """The result files of `folder` (of one rank) in order of their names; an absent folder has none."""
    pattern = PATTERN if rank is None else f"Rank{rank}_node*_*.jsonl"
    named = ((path, ResultName.parse(path.name)) for path in sorted(folder.glob(pattern)))
    return [(path, name) for path, name in named if name is not None]


def file_sizes(folder: Path) -> dict[str, int]:
    """The result files of `folder` by name, with their bytes."""
    return {path.name: path.stat().st_size for path, _ in result_files(folder)}


def _numbered(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with open_file(path) as file:
            yield from enumerate(file, start=1)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


def read_lines(path: Path) -> Iterator[tuple[int, bytes, Record | None]]:
    """(line number from 1, line, record or None where it is no record), a line at a time; empty ones are passed over.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, parse_record(line)) for number, line in _numbered(path) if not line.isspace())


def read_glances(path: Path) -> Iterator[tuple[int, bytes, Told | None]]:
    """As `read_lines`, with a glance at each line instead of its record.

    Raises:
        ResultError: the file cannot be read.
    """
    return ((number, line, glance(line)) for number, line in _numbered(path) if not line.isspace())


def read_records(path: Path) -> Iterator[Record]:
    """The records of one result file, a line at a time. A last line that is not whole (yet) is not there.

    Raises:
        ResultError: the file cannot be read, or has another line that is no record.
    """
    for number, line, record in read_lines(path):
        if record is not None:
            yield record
        else:
            check_torn(path, number, line)


def read_told(path: Path) -> Iterator[Told]:
    """The same, with a glance at each record.

    Raises:
        ResultError: as `read_records`.
    """
    return (told for _, told in read_places(path))


def read_places(path: Path) -> Iterator[tuple[int, Told]]:
    """(offset in bytes, what is told there) of each record.

    Raises:
        ResultError: as `read_records`.
    """
    offset = 0
    for number, line in _numbered(path):
        if (told := glance(line)) is not None:
            yield offset, told
        elif not line.isspace():
            check_torn(path, number, line)
        offset += len(line)


def check_torn(path: Path, number: int, line: bytes) -> None:
    """Refuse a line that is no record, unless it is the last one, which a crash may have left unfinished.

    Raises:
        ResultError: that; it names the line and says what to do.
    """
    if is_torn(line):
        return
    try:
        raise ResultError(what_is_wrong(path, number))
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error


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


def recover(path: Path) -> int:
    """Cut off a last line that a crash left unfinished, so that its sample is done again. Returns how many lines went.

    Raises:
        ResultError: the file cannot be read or written, or has another line that is no record: it is left as it is.
    """
    torn = 0
    for number, line in _numbered(path):
        if glance(line) is None and not line.isspace():
            check_torn(path, number, line)
            torn = len(line)
    if torn:
        try:
            os.truncate(path, path.stat().st_size - torn)
        except OSError as error:
            raise ResultError(f"result file {path}: cannot be repaired: {error.strerror}") from error
    return bool(torn)


def rewrite(path: Path, keep: Callable[[Record], bool]) -> int:
    """Write `path` again with only the records that `keep` accepts, in one atomic step.

    Returns:
        The number of records dropped.

    Raises:
        ResultError: the file cannot be read or written; it is then as it was.
    """
    dropped = 0
    try:
        with atomic_write(path, "result file") as out:
            for number, line, record in read_lines(path):
                if record is None:
                    check_torn(path, number, line)
                elif keep(record):
                    out.write(line)
                else:
                    dropped += 1
    except NotWritten as error:
        raise ResultError(str(error)) from error
    return dropped


class DoneSamples:
    """Which samples have a record, by dataset and row."""

    def __init__(self) -> None:
        self._rows = RowNumbers(np.bool_)

    def add(self, told: Told) -> None:
        """Note the sample of a record; one without a sound identity is passed over."""
        if (row := told.row) is not None:
            self.mark(*row)

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


def done_samples(folder: Path, rank: int | None = None) -> DoneSamples:
    """The samples that have a record in the files of a rank, or of all."""
    done = DoneSamples()
    for path, _ in result_files(folder, rank):
        for told in read_told(path):
            done.add(told)
    return done


class RankResults:
    """The result files of one rank: recovered when opened, then appended to.

    Where `parts` processes share a rank, this is the `part`-th of them (from 0): it writes part `part`, and looks after
    that and every `parts`-th one from it, which earlier runs of more processes may have left.

    Only one process at a time may hold them; the lock is released with the process, however it ends.

    Raises:
        ResultError: the folder cannot be written, or another process has this rank.
    """

    def __init__(
        self, folder: Path, rank: int, node: int, part: int = 0, parts: int = 1, single_launch: bool = False
    ) -> None:
        self.folder = folder
        self.rank = rank
        self.node = node
        self.part = part
        self.parts = parts
        self.single_launch = single_launch
        self._open_files: dict[str, PooledFile] = {}
        with ExitStack() as held:
            self.lock = held.enter_context(RankLock(folder, rank, part, parts, single_launch))
            self.repaired = sum(recover(path) for path in self.files())
            self.journal = Journal(folder / (f".Rank{rank}~{part}.journal" if parts > 1 else f".Rank{rank}.journal"))
            held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, word: Word) -> None:
        """Leave word for others, as long as this is held.

        Raises:
            ResultError: it cannot be written.
        """
        self.lock.tell(as_json(word))

    def told_by_others(self) -> list[Word]:
        """What other processes that work in the folder now tell, as far as the file system knows locks."""
        told = []
        for text in self.lock.told_by_others():
            with suppress(ValueError):
                told.append(read_as(text, Word))
        return told

    def files(self) -> list[Path]:
        """The files that are this process's to change, from any node it ever ran on."""
        return [path for path, name in result_files(self.folder, self.rank) if name.part % self.parts == self.part]

    def done(self, unwanted: Callable[[Record], bool] | None = None, scattered: bool = False) -> DoneSamples:
        """The samples that have a record in any part of this rank; with `scattered` of any rank.

        `unwanted` ones in the parts of others do not count: whoever has those takes them out, sooner or later.
        """
        if scattered:
            return done_samples(self.folder)
        if unwanted is None or self.parts == 1:
            return done_samples(self.folder, self.rank)
        done, own = DoneSamples(), self.files()
        for path, _ in result_files(self.folder, self.rank):
            for record in read_records(path):
                row = row_of(record)
                if row is not None and (path in own or not unwanted(record)):
                    done.mark(*row)
        return done

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

    def _path(self, stem: str) -> Path:
        return self.folder / str(ResultName(self.rank, self.node, stem_in_names(stem), self.part))

    def append(self, stem: str, record: Record) -> None:
        """Write one record as one line, in one system call, to the file of annotation file `stem`.

        Raises:
            NotJson: the record holds what no file can; nothing is written.
            ResultError: the disk is full or the like, and a part of a line that got through is taken back; or the file,
                or what holds the rank, is not there any more.
        """
        line = to_json(record) + b"\n"
        path = self._path(stem)
        self.lock.check()
        try:
            if stem not in self._open_files:
                self._open_files[stem] = PooledFile(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
                sync_folder(self.folder)
            with self._open_files[stem].descriptor() as descriptor:
                if not is_at(descriptor, path):
                    raise self._gone(path)
                write_whole(descriptor, line)
        except OSError as error:
            if error.errno in _GONE and stem in self._open_files:
                raise self._gone(path) from error
            raise ResultError(
                f"result file {path}: cannot be written: {error.strerror}; what it holds is kept"
            ) from error
        if (row := row_of(record)) is not None:
            self.journal.end(*row)

    def _gone(self, path: Path) -> ResultError:
        """What is to be said of a file that nobody would find any more."""
        return ResultError(
            f"result file {path}: was removed or replaced while this rank was at work; put it back, or run the "
            "same command again, which does anew what is not there"
        )

    def close(self) -> None:
        """Flush to disk and release the rank.

        Raises:
            ResultError: the disk took the records, but cannot keep them; or nobody would find them.
        """
        failure: OSError | None = None
        gone = []
        for stem, file in self._open_files.items():
            try:
                with file.descriptor() as descriptor:
                    if not is_at(descriptor, self._path(stem)):
                        gone.append(self._path(stem))
                    os.fsync(descriptor)
            except OSError as error:
                if error.errno in _GONE:
                    gone.append(self._path(stem))
                else:
                    failure = error
            with suppress(OSError):
                file.close()
        self._open_files.clear()
        self.journal.close()
        self.lock.close()
        if failure is not None:
            raise ResultError(f"result files of rank {self.rank} in {self.folder}: {failure.strerror}") from failure
        if gone:
            raise self._gone(gone[0])


def _past(record: Record) -> Past:
    """What a failed sample has behind it. One that killed its workers goes alone at once when it is tried again."""
    kind = told_error(record).get("kind")
    return Past(attempts_of(record), CRASHES_BEFORE_ALONE if kind == ENGINE_CRASH else 0)
