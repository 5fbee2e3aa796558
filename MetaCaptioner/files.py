"""Files, and lines at the end of files, that are there whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.errors import UserError
from MetaCaptioner.leftovers import NEW, OLD, new_file, new_folder, remove_left
from MetaCaptioner.terminal import say


class NotWritten(UserError):
    """A file cannot be written; an earlier one in its place is untouched."""


@contextmanager
def atomic_write(path: Path, what: str, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in one step when the block ends without an exception.

    With `sync` it is on the disk by then, whatever happens to the machine; millions of small files are better without.

    Raises:
        NotWritten: it cannot be written; the message begins with `what`. An earlier file at `path` is then untouched.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, opened = new_file(path)
        with opened as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            if temporary is not None:
                temporary.unlink()


def write_whole(descriptor: int, line: bytes) -> None:
    """Append `line` to a file that nobody else writes, completely or not at all.

    Raises:
        OSError: it did not fit; the file is as long as before.
    """
    before = os.fstat(descriptor).st_size
    written = 0
    try:
        while written < len(line):
            written += os.write(descriptor, line[written:])
    except OSError:
        if written:
            os.ftruncate(descriptor, before)
        raise


@contextmanager
def atomic_folder(path: Path, what: str, replaced_if: str | None = None) -> Iterator[Path]:
    """A folder to fill that takes the place of `path` when the block ends without an exception.

    A folder with a file of the name `replaced_if` in it is replaced; any other must be empty or not there. What killed
    processes have left of such a folder is taken away.

    Raises:
        NotWritten: it cannot be written, or something is there already; that is then untouched.
    """
    whole = path.absolute()
    try:
        remove_left(whole)
        if whole.exists() and not whole.is_dir():
            raise NotWritten(f"{what} {path}: is a file")
        if whole.exists() and any(whole.iterdir()) and not (replaced_if and (whole / replaced_if).is_file()):
            raise NotWritten(f"{what} {path}: something else is there already; name another place")
        temporary, hold = new_folder(whole)
        try:
            (temporary / NEW).mkdir()
            yield temporary / NEW
            _change_places(temporary, whole)
        finally:
            if whole.exists() or not (temporary / OLD).exists():
                shutil.rmtree(temporary, ignore_errors=True)
            os.close(hold)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error


def _change_places(temporary: Path, whole: Path) -> None:
    """Put what was made in its place; where that fails, what was there before is there again."""
    if whole.exists():
        whole.rename(temporary / OLD)
    try:
        (temporary / NEW).rename(whole)
    except OSError:
        if (temporary / OLD).exists():
            (temporary / OLD).rename(whole)
        raise


@contextmanager
def held_alone(lock: Path, what: str) -> Iterator[None]:
    """Be the only process in the block, of all that share the file system; `what` tells the user what is waited for.

    The file `lock` is gone afterwards. Whoever was let in must look again at what it came for: it may have been made
    meanwhile. On a file system without locks nobody waits.

    Raises:
        OSError: the lock cannot be made, as in a read-only folder.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = _hold(lock, what)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _hold(lock: Path, what: str) -> int:
    """The descriptor of a lock that is held; one whose file was taken away while it was waited for keeps nobody out."""
    while True:
        descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that makes {what}")
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError:
                return descriptor
            except BaseException:  # a signal to stop
                os.close(descriptor)
                raise
        except OSError:
            return descriptor  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), lock.stat()):
                return descriptor
        os.close(descriptor)
