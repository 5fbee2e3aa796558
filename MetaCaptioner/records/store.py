"""`Rank*_node*_*.jsonl`: a rank's records, appended, and recovered after a crash."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from MetaCaptioner.errors import ErrorKind, ResultError
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.journal import CRASHES_BEFORE_ALONE, Journal, Past
from MetaCaptioner.records.rank_lock import RankLock
from MetaCaptioner.records.reader import (
    ResultName,
    Word,
    check_torn,
    numbered_lines,
    read_lines,
    read_records,
    result_files,
    stem_in_names,
)
from MetaCaptioner.records.record import Record, attempts_of, glance, told_error
from MetaCaptioner.records.row_map import Row, row_of
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_write, write_whole
from MetaCaptioner.utils.durable_rename import sync_folder
from MetaCaptioner.utils.file_pool import PooledFile
from MetaCaptioner.utils.json_text import as_json, read_as, to_json
from MetaCaptioner.utils.locks import is_at

_GONE = {errno.ENOENT, errno.ESTALE}  # of a file that was there


def recover(path: Path) -> int:
    """Cut off a last line that a crash left unfinished, so that its sample is done again. Returns how many lines went.

    Raises:
        ResultError: the file cannot be read or written, or has another line that is no record: it is left as it is.
    """
    torn = 0
    for number, line in numbered_lines(path):
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

    def written(self) -> list[Path]:
        """The files that this process has written to."""
        return [file.path for file in list(self._open_files.values())]

    def done(self, unwanted: Callable[[Record], bool] | None = None, scattered: bool = False) -> DoneSamples:
        """The samples that have a record in any part of this rank; with `scattered` of any rank.

        `unwanted` ones in the parts of others do not count: whoever has those takes them out, sooner or later.
        """
        if scattered:
            return DoneSamples().read(self.folder)
        if unwanted is None or self.parts == 1:
            return DoneSamples().read(self.folder, self.rank)
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
    return Past(attempts_of(record), CRASHES_BEFORE_ALONE if kind == ErrorKind.ENGINE_CRASH else 0)
