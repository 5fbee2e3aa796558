"""Locks that all processes keep that share a file system: the one place where files are locked.

They are open file description locks (fcntl(2), F_OFD_SETLK): gone with the process, however it ends, and kept by the
server of a network file system. To ask who holds one takes none, and they are of bytes, by which those are told apart
who may hold a file together. A lock file may be opened by those who may write in its folder and by nobody else, so that
no reader can hold it; it is never taken away, for a lock on a file that is gone keeps nobody out.

A file system may have none, or grant one lock twice: both are found before any work is begun. That is refused, unless
the user says that no other launch works there (`--single-launch`). Whether the locks of one machine count on another is
for whoever mounts the file system (NFS without `nolock`, Lustre with `flock`).
"""

import errno
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Self

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.cli import say
from MetaCaptioner.utils.safe_open import open_descriptor

_REQUEST = struct.Struct("hhqqi0q")
"""`struct flock` of a 64-bit Linux: type, whence, start, length (0: to the end), process."""
_POLL_SECONDS = 0.05
_LONGEST_POLL_SECONDS = 0.5


class NoLocks(UserError):
    """The file system keeps no locks, and the user has not said that none are needed."""


class _NotKept(Exception):
    """A lock cannot be had, whoever asks; the message is the reason."""


@dataclass(frozen=True)
class FileLock:
    """A file that is held as long as this is not closed. `kept` is False where that keeps nobody out."""

    path: Path
    descriptor: int
    kept: bool = True

    def is_in_place(self) -> bool:
        """Whether the file is still the one at its path; after a removal others could hold a new one."""
        return is_at(self.descriptor, self.path)

    def tell(self, text: bytes) -> None:
        """Leave word in the file, in place of what was there.

        Raises:
            OSError: it cannot be written.
        """
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, text, 0)

    def close(self) -> None:
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116 (twice as fast, for every record)
    except OSError:
        return False


def hold(path: Path, what: str, needed: bool, seconds: float, group: int = 0) -> FileLock | None:
    """Hold a file, which is made where there is none; None where somebody else still has it after so many seconds.

    Group 0 holds it alone. Those of any other group hold it together, and keep out all others.

    Raises:
        NoLocks: the file system keeps no locks, and they are `needed`; the message begins with `what`.
        OSError: the file cannot be opened.
    """
    deadline, pause = time.monotonic() + seconds, _POLL_SECONDS
    while True:
        descriptor = _open(path)
        try:
            if _take(descriptor, group) and _keeps_out(descriptor, path, group):
                return FileLock(path, descriptor)
        except _NotKept as reason:
            if not needed:
                return FileLock(path, descriptor, kept=False)
            os.close(descriptor)
            raise NoLocks(
                f"{what}: the file system keeps no locks there ({reason}), so that two launches would do the same work "
                "and not notice; if no other launch works there, --single-launch goes on without locks"
            ) from reason
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_POLL_SECONDS)


@contextmanager
def held_alone(path: Path, what: str, needed: bool = True) -> Iterator[FileLock]:
    """Be the only process in the block, of all that share the file system; `what` tells the user what is waited for.

    Whoever was let in must look again at what it came for: it may have been made meanwhile. Where locks are not
    `needed` and the file system keeps none, nobody waits.

    Raises:
        NoLocks: there are none, and they are needed.
        OSError: the lock cannot be made, as in a read-only folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    held = hold(path, what, needed, 0)
    if held is None:
        say(f"waiting for another process that makes {what}")
        held = hold(path, what, needed, float("inf"))
    assert held is not None
    with held:
        yield held


def is_held_alone(path: Path) -> bool:
    """Whether some process holds a lock file alone, so far as the file system keeps locks.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = open_descriptor(path)
    try:
        return _is_held(descriptor, fcntl.F_RDLCK, 0, 0)
    except _NotKept:
        return False
    finally:
        os.close(descriptor)


def check_kept(folder: Path, what: str) -> None:
    """Refuse a folder of whose locks nothing can be told, since the file system keeps none.

    Raises:
        NoLocks: that.
        OSError: nothing can be written there.
    """
    with NamedTemporaryFile(prefix=".", suffix=".lock", dir=folder) as file:
        held = hold(Path(file.name), what, True, 0)
        if held is not None:
            held.close()


def _open(path: Path) -> int:
    """A lock file, open. Whoever may write in the folder, and so could put another in its place, may open a new one."""
    with suppress(FileNotFoundError):
        return open_descriptor(path, writing=True)
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return open_descriptor(path, writing=True)
    with suppress(OSError):  # a file system without owners and rights
        folder = path.parent.stat()
        if os.fstat(descriptor).st_gid != folder.st_gid:
            os.fchown(descriptor, -1, folder.st_gid)
        writers = folder.st_mode & 0o222
        os.fchmod(descriptor, 0o600 | writers | writers << 1)
    return descriptor


def _ask(descriptor: int, command: int, kind: int, start: int, length: int) -> int:
    request = _REQUEST.pack(kind, os.SEEK_SET, start, length, 0)
    kind_there: int = _REQUEST.unpack(fcntl.fcntl(descriptor, command, request))[0]
    return kind_there


def _set(descriptor: int, kind: int, start: int, length: int) -> bool:
    """Lock some bytes, or let them go; False where others have them.

    Raises:
        _NotKept: the file system cannot.
    """
    try:
        _ask(descriptor, fcntl.F_OFD_SETLK, kind, start, length)
    except OSError as error:
        # Either may mean that others have it (fcntl(2)); the second that it is forbidden, too.
        if error.errno == errno.EAGAIN or (error.errno == errno.EACCES and _is_held(descriptor, kind, start, length)):
            return False
        raise _NotKept(error.strerror or str(error)) from error
    return True


def _is_held(descriptor: int, kind: int, start: int, length: int) -> bool:
    """Whether others have what keeps such a lock of these bytes from being had.

    Raises:
        _NotKept: the file system cannot tell.
    """
    try:
        return _ask(descriptor, fcntl.F_OFD_GETLK, kind, start, length) != fcntl.F_UNLCK
    except OSError as error:
        raise _NotKept(error.strerror or str(error)) from error


def _take(descriptor: int, group: int) -> bool:
    """All bytes for one who is alone. A group shares the byte of its number; the first byte lets one in at a time."""
    if not group:
        return _set(descriptor, fcntl.F_WRLCK, 0, 0)
    if not _set(descriptor, fcntl.F_WRLCK, 0, 1):
        return False
    below, above = (1, group - 1), (group + 1, 0)
    others = (_is_held(descriptor, fcntl.F_WRLCK, *some) for some in ((below, above) if group > 1 else (above,)))
    taken = not any(others) and _set(descriptor, fcntl.F_RDLCK, group, 1)
    _set(descriptor, fcntl.F_UNLCK, 0, 1)
    return taken


def _keeps_out(descriptor: int, path: Path, group: int) -> bool:
    """Whether the file that is held is the one at its path, so that others are kept out; asked by trying to get in.

    Raises:
        _NotKept: they would be let in.
    """
    try:
        other = open_descriptor(path, writing=True)
    except FileNotFoundError:
        return False
    try:
        if not os.path.samestat(os.fstat(descriptor), os.fstat(other)):
            return False
        if _set(other, fcntl.F_WRLCK, group, 1 if group else 0):
            raise _NotKept("it grants a lock twice")
        return True
    finally:
        os.close(other)
