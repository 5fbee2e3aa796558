"""One rank of a result folder, held by one process or shared by several; and which ranks are held."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from MetaCaptioner.errors import ResultError
from MetaCaptioner.utils.locks import FileLock, hold, is_held_alone
from MetaCaptioner.utils.safe_open import NotAFile, read_file

_LOCK_NAME = re.compile(r"^\.Rank(?P<rank>\d+)(?:~(?P<part>\d+))?\.lock$")
_LOCK_SECONDS = 5.0


def ranks_at_work(folder: Path) -> list[int]:
    """The ranks of `folder` that are being worked on now, as far as the file system knows locks.

    Raises:
        ResultError: this cannot be told, for who may not write in the folder may not look at its locks.
    """
    try:
        return sorted({rank for rank, path in _lock_files(folder) if is_held_alone(path)})
    except NotAFile as error:
        raise _not_a_lock(error) from error
    except OSError as error:
        raise ResultError(f"output folder {folder}: its locks cannot be looked at: {error.strerror}") from error


def _not_a_lock(error: NotAFile) -> ResultError:
    return ResultError(f"lock {error.filename}: {error.strerror}: take it away")


def _lock_files(folder: Path) -> Iterator[tuple[int, Path]]:
    """(rank, lock file), whether or not a process holds it."""
    for path in folder.glob(".Rank*.lock"):
        if match := _LOCK_NAME.match(path.name):
            yield int(match["rank"]), path


def _held(folder: Path, name: str, rank: int, single_launch: bool, group: int = 0) -> FileLock:
    """Hold a lock file of the result folder.

    Raises:
        ResultError: the folder cannot be written, or another process has it.
        NoLocks: the file system keeps no locks, and this is not the `single_launch`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # For a moment after a kill the one that is still dying has it.
        held = hold(folder / name, f"output folder {folder}", not single_launch, _LOCK_SECONDS, group)
    except NotAFile as error:
        raise _not_a_lock(error) from error
    except OSError as error:
        raise ResultError(f"output folder {folder}: cannot be written: {error.strerror}") from error
    if held is None:
        raise ResultError(
            f"rank {rank} is being worked on by another process in {folder}: wait until that has ended, or stop it; "
            "or name another OUTPUT"
        )
    return held


class RankLock:
    """One rank of a result folder, held by this process for as long as this is open, or until the process ends.

    Where `parts` processes share a rank, this is the `part`-th of them. They hold it together and their parts alone; a
    process that has it all, or shares it with another number of processes, is kept out.

    Raises:
        ResultError: the folder cannot be written, or another process has this rank.
        NoLocks: the file system keeps no locks, and the user has not said that this is the `single_launch`.
    """

    def __init__(self, folder: Path, rank: int, part: int = 0, parts: int = 1, single_launch: bool = False) -> None:
        self.folder = folder
        self._open_till_closed = ExitStack()
        with ExitStack() as held:
            self._own = held.enter_context(
                _held(folder, f".Rank{rank}.lock", rank, single_launch, parts if parts > 1 else 0)
            )
            self._locks = [self._own]
            if parts > 1:
                self._own = held.enter_context(_held(folder, f".Rank{rank}~{part}.lock", rank, single_launch))
                self._locks.append(self._own)
            for lock in self._locks:
                self._tell(lock, b"")  # in place of what an earlier process told
            self._open_till_closed = held.pop_all()
        self.kept = all(lock.kept for lock in self._locks)

    def tell(self, text: bytes) -> None:
        """Leave word for others, as long as this is held, in its lock.

        Raises:
            ResultError: it cannot be written.
        """
        self._tell(self._own, text)

    def _tell(self, lock: FileLock, text: bytes) -> None:
        try:
            lock.tell(text)
        except OSError as error:
            raise ResultError(f"output folder {self.folder}: cannot be written: {error.strerror}") from error

    def told_by_others(self) -> list[bytes]:
        """What other processes that work in the folder now tell, as far as the file system knows locks."""
        told = []
        for _, path in _lock_files(self.folder):
            with suppress(OSError):
                if path != self._own.path and is_held_alone(path):
                    told.append(read_file(path))
        return told

    def check(self) -> None:
        """Refuse to go on where others could hold this too by now, since a lock file was taken away.

        Raises:
            ResultError: that.
        """
        for lock in self._locks:
            if not lock.is_in_place():
                raise ResultError(
                    f"output folder {self.folder}: {lock.path.name} was removed or replaced while this rank was at "
                    "work, so that another process could take it too; run the same command again"
                )

    def close(self) -> None:
        self._open_till_closed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
