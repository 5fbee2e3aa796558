"""What a helper writes its pixels to and the rank reads them from: files in memory that both have open.

Through a socket they would take a turn of both processes for every buffer, which on a busy machine is long.
"""

import fcntl
import mmap
import os
import tempfile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_USUAL = 2**22  # bytes: a picture of the usual size


class NotWrittenError(Exception):
    """The file ends before the pixels do."""


class SharedPixels:
    """The rank's end: one file for what is of usual size, whose memory is kept for the next, and one for the rest."""

    def __init__(self) -> None:
        self._usual, self._large = _file_in_memory(), _file_in_memory()
        self._mapped: mmap.mmap | None = None
        if hasattr(os, "memfd_create"):
            # What is mapped must stay as large as it is: to read what a helper has cut off would kill the rank.
            self._usual.truncate(_USUAL)
            fcntl.fcntl(self._usual, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._mapped = mmap.mmap(self._usual.fileno(), _USUAL, prot=mmap.PROT_READ)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the helper needs to write (`PixelWriter`)."""
        return self._usual.fileno(), self._large.fileno()

    def view(self, count: int) -> memoryview:
        """The first bytes, to be looked at before the helper is given another file.

        Raises:
            NotWrittenError: there are fewer.
        """
        if self._mapped is not None and count <= _USUAL:
            return memoryview(self._mapped)[:count]
        return self.copied(count).data

    def copied(self, count: int) -> NDArray[np.uint8]:
        """A copy of the first bytes; raises as `view`."""
        pixels = np.empty(count, np.uint8)
        file, place = self._usual if count <= _USUAL else self._large, 0
        while place < count:
            got = os.preadv(file.fileno(), [pixels.data[place:]], place)
            if not got:
                raise NotWrittenError
            place += got
        if count > _USUAL:
            file.truncate(0)
        return pixels


class PixelWriter:
    """The helper's end, which owns the descriptors. What is mapped is written in half the time of a call for it."""

    def __init__(self, usual: int, large: int) -> None:
        self._usual, self._large = usual, large
        self._mapped: mmap.mmap | None = None
        if os.fstat(usual).st_size == _USUAL:
            self._mapped = mmap.mmap(usual, _USUAL)
            os.close(usual)

    def write(self, pixels: memoryview) -> None:
        if self._mapped is not None and len(pixels) <= _USUAL:
            self._mapped[: len(pixels)] = pixels
            return
        descriptor, place = self._usual if len(pixels) <= _USUAL else self._large, 0
        while place < len(pixels):
            place += os.pwrite(descriptor, pixels[place:], place)


def _file_in_memory() -> BinaryIO:
    """A file without a name; on systems that cannot keep it in memory, on the disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
