"""Where the bytes of a picture or clip lie: in a file of their own, or in a tar file, which is not unpacked."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import msgspec

from MetaCaptioner.errors import ErrorKind, SampleError
from MetaCaptioner.utils.path_spelling import find, hint, local_name
from MetaCaptioner.utils.safe_open import NotAFile, OutsideRoot, is_below, leads_out, open_file

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK = tarfile.BLOCKSIZE
_LONGEST_PLAIN_NAME = tarfile.LENGTH_NAME - 1
_HASH_BLOCK_BYTES = 2**20
_MOST_AT_ONCE = 2**24
LONGEST_PATH = 4095
"""Characters of the longest path that Linux opens (PATH_MAX, with its end)."""
WHAT_TO_DO = "name a root that it is below, or say --allow-outside-root"
"""About media outside their root."""
_IS_NOT_THERE = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


def is_content(name: str) -> bool:
    """Whether what should name a file is longer than any path can be, or says that it is data itself."""
    return len(name) > LONGEST_PATH or name.lstrip()[:5].lower() == "data:"


def check_name(name: str, what: str) -> None:
    """Refuse a file name that cannot be one; `what` names it in the message.

    Raises:
        ValueError: it is blank, content instead of a name, an address of no file here, or holds a NUL character.
    """
    if not name.strip():
        raise ValueError(f"'{what}' is empty")
    if is_content(name):
        raise ValueError(
            f"'{what}' is no file name but {len(name)} characters, such as a picture as base64 text: write it out as "
            f"a file first ({name[:40]}…)"
        )
    try:
        local = local_name(name)
    except ValueError as error:
        raise ValueError(f"'{what}' {error}") from error
    if "\0" in local:
        raise ValueError(f"'{what}' holds a NUL character")


@dataclass(frozen=True)
class TarPlace:
    """Where the content of a tar member lies: `size` bytes from byte `offset` of the uncompressed tar file `file`.

    `file` is a name below the dataset's root.

    Raises:
        ValueError: that cannot be, as told by the message.
    """

    file: str
    offset: int
    size: int

    def __post_init__(self) -> None:
        check_name(self.file, "tar.file")
        if self.offset < _BLOCK or self.offset % _BLOCK:
            raise ValueError(f"'tar.offset' {self.offset} is not behind a tar header (a multiple of {_BLOCK} bytes)")
        if self.size < 0:
            raise ValueError(f"'tar.size' {self.size} is negative")


def tar_place(value: object) -> TarPlace | None:
    """The value of a row's or record's `tar`: an object with `file`, `offset` and `size`, or nothing.

    Raises:
        ValueError: it is anything else.
    """
    try:
        return msgspec.convert(value, TarPlace | None)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class MediaSource:
    """The content of one picture or clip: the file `path`, or its member `name` if `tar` says where that lies.

    `given` is the root, and the name of the file below it as the row spells it. A file that lies outside the root is
    not opened, unless `allow_outside_root`.
    """

    path: Path
    name: str = ""
    tar: TarPlace | None = None
    given: tuple[Path, str] | None = None
    allow_outside_root: bool = False

    def __str__(self) -> str:
        return str(self.path) if self.tar is None else f"{self.path}[{self.name}]"

    def look(self) -> int:
        """The number of bytes, after a look whether they are there.

        Raises:
            SampleError: `media_missing`; `media_corrupt`, it is empty or not what the tar file holds at this place;
                `media_outside_root`.
            OSError: it cannot be read.
        """
        try:
            with self._open_file() as file:
                size = os.fstat(file.fileno()).st_size
                if self.tar is not None:
                    self._check_member(file, self.tar, size)
                    size = self.tar.size
        except (*_IS_NOT_THERE, ValueError) as error:
            reason = "is a folder" if isinstance(error, IsADirectoryError) else "there is no such file"
            raise SampleError(ErrorKind.MEDIA_MISSING, f"{self.path}: {reason}{self.hint()}") from error
        except NotAFile as error:
            raise SampleError(ErrorKind.MEDIA_MISSING, f"{self.path}: {error.strerror}") from error
        if size == 0:
            raise SampleError(ErrorKind.MEDIA_CORRUPT, f"{self}: the file is empty")
        return size

    def leaves_root(self) -> bool:
        """Whether the file lies where it may not be read."""
        return self._root is not None and not is_below(self._root, self.path)

    def hint(self) -> str:
        """Where the file is not there: what may have been meant, to be put behind that."""
        return hint(*self.given) if self.given is not None else ""

    def open(self) -> BinaryIO:
        """The content as a file that can be read and moved about in.

        Raises:
            SampleError: `media_outside_root`; nothing is opened.
            OSError: it cannot be read, or is no file.
        """
        file = self._open_file()
        if self.tar is None:
            return file
        return Stretch(file.fileno(), self.tar.offset, self.tar.size).open(file)

    @contextmanager
    def opened(self) -> "Iterator[Stretch]":
        """The content as a stretch of an open file, for those who cannot open any.

        Raises:
            SampleError, OSError: as `open`.
        """
        with self._open_file() as file:
            size = os.fstat(file.fileno()).st_size if self.tar is None else self.tar.size
            yield Stretch(file.fileno(), 0 if self.tar is None else self.tar.offset, size)

    def read(self) -> bytes:
        """All of the content.

        Raises:
            SampleError, OSError: as `open`.
        """
        with self.open() as file:
            return file.read()

    def hash(self) -> str:
        """SHA-256 of the content, in hexadecimal digits; a record's `media_hash`.

        Raises:
            SampleError, OSError: as `open`.
        """
        with self.open() as file:
            return _hash(file)

    @property
    def _root(self) -> Path | None:
        """Where the file has to be; None: anywhere."""
        return None if self.given is None or self.allow_outside_root else self.given[0]

    def _open_file(self) -> BinaryIO:
        """The file as a whole; the only place where media are opened."""
        try:
            return open_file(self.path, self._root)
        except OutsideRoot as error:
            raise SampleError(ErrorKind.MEDIA_OUTSIDE_ROOT, f"{self.path}: {error.strerror}; {WHAT_TO_DO}") from error

    def _check_member(self, file: BinaryIO, place: TarPlace, whole: int) -> None:
        """Refuse bytes that are not the member of this name: the tar file was cut off, or packed anew since.

        The header before the content tells. It holds the whole name only if that is plain and short.
        """
        if place.offset + place.size > whole:
            raise SampleError(ErrorKind.MEDIA_CORRUPT, f"{self}: the tar file ends before the end of this member")
        file.seek(place.offset - _BLOCK)
        header = file.read(_BLOCK)
        try:
            told = tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
        except tarfile.HeaderError:
            told = None
        is_plain = self.name.isascii() and len(self.name) <= _LONGEST_PLAIN_NAME
        if told is None or not told.isreg() or told.size != place.size or (is_plain and told.name != self.name):
            raise SampleError(
                ErrorKind.MEDIA_CORRUPT,
                f"{self}: is not at byte {place.offset} (was the tar file packed anew?)",
            )


def media_source(root: Path, media_name: str, tar: TarPlace | None, allow_outside_root: bool = False) -> MediaSource:
    """Where the media lie that a row names so, however it spells the name (see `spelling`)."""
    name = media_name if tar is None else tar.file
    return MediaSource(find(root, name), "" if tar is None else media_name, tar, (root, name), allow_outside_root)


def name_outside(root: Path, media_name: str, tar: TarPlace | None) -> str | None:
    """The name of a row that leads out of `root`, that of the tar file or of its member, where there is one."""
    names = (media_name,) if tar is None else (tar.file, media_name)
    return next((name for name in names if leads_out(root, name)), None)


class Content(Protocol):
    """What can be opened and read, as often as it takes."""

    def open(self) -> BinaryIO: ...


@dataclass(frozen=True)
class Stretch:
    """`size` bytes from byte `begin` of an open file."""

    descriptor: int
    begin: int
    size: int

    def open(self, owner: BinaryIO | None = None) -> BinaryIO:
        """It as a file with a place of its own, whoever else reads there; closing it closes `owner`."""
        return cast(BinaryIO, io.BufferedReader(_Window(self, owner)))

    def read(self) -> bytes:
        """All of it."""
        with self.open() as file:
            return file.read()

    def hash(self) -> str:
        """SHA-256 of it, in hexadecimal digits."""
        with self.open() as file:
            return _hash(file)


def _hash(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while block := file.read(_HASH_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


class _Window(io.RawIOBase):
    """A stretch of an open file, as a file."""

    def __init__(self, stretch: Stretch, owner: BinaryIO | None) -> None:
        super().__init__()
        self._stretch = stretch
        self._owner = owner
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._stretch.size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._stretch.size - self._place))
        got = os.preadv(self._stretch.descriptor, [view[:wanted]], self._stretch.begin + self._place) if wanted else 0
        self._place += got
        return got

    def readall(self) -> bytes:
        """What is left, in as few reads as can be; the usual way takes one for every 8 KiB."""
        parts = []
        while (left := self._stretch.size - self._place) > 0:
            part = os.pread(self._stretch.descriptor, min(left, _MOST_AT_ONCE), self._stretch.begin + self._place)
            if not part:
                break
            parts.append(part)
            self._place += len(part)
        return b"".join(parts)

    def close(self) -> None:
        if self._owner is not None:
            self._owner.close()
        super().close()
