"""Result files read on while they grow: their records a block at a time, and how far that came."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.reader import read_told
from MetaCaptioner.records.scan import Found, count_block
from MetaCaptioner.records.torn_lines import is_torn
from MetaCaptioner.utils.safe_open import open_descriptor

_BLOCK_BYTES = 2**20  # what a processor's cache holds
_CHECKED_BYTES = 4096  # some records, so that other records of the same lengths are not taken for these
_REST_BYTES = 2**16
_LONGEST_LINE = 2**26  # no record comes near it


@dataclass(frozen=True)
class Place:
    """How far a file was read, and what tells whether it is still the same: only growth goes on from there."""

    size: int
    changed_ns: int
    offset: int
    check: str
    """A hash of the last bytes before `offset`."""
    file: tuple[int, int] | None = None
    """Device and inode; None where it was read on another machine, which has other numbers for them."""

    def goes_on(self, descriptor: int, now: "Place") -> bool:
        """Whether the file that is `now` open is the one that was read up to here, with nothing or more behind it."""
        same = self.file in (None, now.file) and _check(descriptor, self.offset) == self.check
        return same and (now.size > self.size or (now.size, now.changed_ns) == (self.size, self.changed_ns))

    def goes_on_in(self, path: Path) -> bool:
        """The same of a file that is to be opened; not if it cannot be read."""
        try:
            descriptor = open_descriptor(path)
        except OSError:
            return False
        try:
            return self.goes_on(descriptor, _start(descriptor))
        except OSError:
            return False
        finally:
            os.close(descriptor)


@dataclass(frozen=True)
class Reading:
    """What was read of a file up to a place, None where the file is gone.

    `anew`: from the file's start, so that nothing that was read of it before counts any more. `rest` is the beginning
    of what stands behind the last line break, where that is looked at.
    """

    found: Found
    place: Place | None
    anew: bool = False
    rest: bytes = b""


def read_on(path: Path, earlier: Place | None) -> Iterator[Reading]:
    """What has come to a file since it was read up to a place, a block at a time; nothing where that is nothing.

    Whoever breaks off goes on from the place of the last block. A last line without a line break is not there yet.

    Raises:
        ResultError: the file cannot be read.
    """
    try:
        descriptor = open_descriptor(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error
        if earlier is not None:
            yield Reading(Found(), None, anew=True)
        return
    try:
        yield from _read_open(descriptor, earlier)
    except OSError as error:
        raise ResultError(f"result file {path}: cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def read_whole(path: Path, earlier: Place | None) -> Iterator[Reading]:
    """The same of a file that must hold nothing but records, and at its end what a crash may leave.

    Raises:
        ResultError: it cannot be read, or has a line that is no record; it names the first one and says what to do.
    """
    is_checked = False
    for reading in read_on(path, earlier):
        if not is_checked and (reading.found.broken or not is_torn(reading.rest)):
            is_checked = True
            for _ in read_told(path):
                pass
        yield reading


def _read_open(descriptor: int, earlier: Place | None) -> Iterator[Reading]:
    now = _start(descriptor)  # of the open file: a network file system then asks its server
    if earlier is not None and replace(now, offset=earlier.offset, check=earlier.check) == earlier:
        return
    begin = earlier if earlier is not None and earlier.goes_on(descriptor, now) else replace(now, check=_check(-1, 0))
    # Of a place on the way, the size is what was read, so that there is more whenever one goes on from it.
    yield Reading(Found(), replace(begin, size=begin.offset, file=now.file), anew=begin is not earlier)
    offset = begin.offset
    for block, end in _blocks(descriptor, offset, now.size):
        found = Found()
        count_block(block, end, found)
        offset += end
        place = replace(now, size=offset, offset=offset, check=_check(descriptor, offset))
        yield Reading(found, place)
    rest = os.pread(descriptor, min(_REST_BYTES, now.size - offset), offset)
    yield Reading(Found(), replace(now, offset=offset, check=_check(descriptor, offset)), rest=rest)


def _start(descriptor: int) -> Place:
    status = os.fstat(descriptor)
    return Place(status.st_size, status.st_mtime_ns, 0, "", (status.st_dev, status.st_ino))


def _check(descriptor: int, offset: int) -> str:
    length = min(_CHECKED_BYTES, offset)
    checked = os.pread(descriptor, length, offset - length) if length else b""
    return blake2b(checked, digest_size=16).hexdigest()


def _blocks(descriptor: int, offset: int, size: int) -> Iterator[tuple[bytes, int]]:
    """(bytes, end of the last whole line in them) of the whole lines from `offset` on, up to about `size`."""
    wanted = _BLOCK_BYTES
    while offset < size:
        block = os.pread(descriptor, min(wanted, size - offset), offset)
        end = block.rfind(b"\n") + 1
        if end:
            yield block, end
            offset += end
            wanted = _BLOCK_BYTES
        elif len(block) < wanted:  # a torn last line
            return
        elif wanted >= _LONGEST_LINE:
            raise OSError(errno.EFBIG, f"the line at byte {offset} is over {_LONGEST_LINE >> 20} MiB long")
        else:
            wanted *= 2
