"""Files that are worked on for long without a descriptor each: a process may have but some hundred open."""

import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from MetaCaptioner.utils.safe_open import check_kind, open_descriptor

MOST_OPEN = 32
"""Of all files of a process that are in the pool; the one that was used longest ago is closed for another."""
_LINE_BYTES = 4096

_open: OrderedDict["PooledFile", int] = OrderedDict()
_guard = threading.Lock()


class PooledFile:
    """A file that is open while it is used, and for as long afterwards as there is room in the pool.

    It stays the same file: one that was removed or replaced meanwhile is not opened again. Any thread may use it.

    Args:
        flags: of `os.open`; with `os.O_CREAT` the file is made now, and not again.

    Raises:
        OSError: it cannot be opened, or is no file; later on, it cannot be opened again.
        ValueError: no file can have such a name.
    """

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self.path = path
        self._flags = flags | os.O_CLOEXEC
        self._users = 0
        self._identity: tuple[int, int] | None = None
        self._failure: OSError | None = None
        with self.descriptor() as descriptor:
            self.status = os.fstat(descriptor)
        self._flags &= ~os.O_CREAT

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """The descriptor, which is good in the block only.

        Raises:
            OSError: it cannot be opened again, or what was written did not reach the disk when it was closed.
        """
        with _guard:
            if self._failure is not None:
                raise self._failure
            descriptor = _open.pop(self, None)
            _open[self] = descriptor = self._opened() if descriptor is None else descriptor
            self._users += 1
            _close_some()
        try:
            yield descriptor
        finally:
            with _guard:
                self._users -= 1

    def read(self, count: int, offset: int) -> bytes:
        """Up to so many bytes from a place on; fewer at the end of the file.

        Raises:
            OSError: as `descriptor`, or it cannot be read.
        """
        with self.descriptor() as descriptor:
            return os.pread(descriptor, count, offset)

    def line(self, offset: int) -> bytes:
        """The line that begins at a place; without a line break it is the last one, or torn.

        Raises:
            OSError: as `read`.
        """
        wanted = _LINE_BYTES
        while True:
            data = self.read(wanted, offset)
            end = data.find(b"\n") + 1
            if end or len(data) < wanted:
                return data[: end or None]
            wanted *= 4

    def close(self) -> None:
        """Give up the descriptor, if there is one.

        Raises:
            OSError: what was written did not reach the disk.
        """
        with _guard:
            descriptor = _open.pop(self, None)
        if descriptor is not None:
            os.close(descriptor)
        if self._failure is not None:
            raise self._failure

    def _opened(self) -> int:
        if self._flags & os.O_ACCMODE == os.O_RDONLY:
            descriptor = open_descriptor(self.path)
        else:  # one that is not there yet cannot be looked at first; so a FIFO is not waited for
            descriptor = os.open(self.path, self._flags | os.O_NONBLOCK, 0o666)
        try:
            status = os.fstat(descriptor)
            check_kind(status.st_mode, str(self.path))
            identity = (status.st_dev, status.st_ino)
            if self._identity not in (None, identity):
                raise OSError(errno.ESTALE, "was replaced by another file while it was in use", str(self.path))
        except BaseException:
            os.close(descriptor)
            raise
        self._identity = identity
        return descriptor


def _close_some() -> None:
    """Close what was used longest ago until the pool is small enough; what fails is for its next user to know."""
    if len(_open) <= MOST_OPEN:
        return
    for file in [file for file in _open if not file._users][: len(_open) - MOST_OPEN]:
        try:
            os.close(_open.pop(file))
        except OSError as error:
            file._failure = error
