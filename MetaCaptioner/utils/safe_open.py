"""Opening files to read: nothing but files, so that no FIFO or device is waited for, and nothing outside a root."""

import errno
import os
import stat
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO, cast

from MetaCaptioner.utils.path_spelling import local_or_itself

_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


class NotAFile(OSError):
    """A FIFO, a device or a socket, which was not opened: that could wait for ever, or do something."""


class OutsideRoot(OSError):
    """A file that lies outside the root below which it is named: by its name, or behind a link."""


def open_file(path: Path, root: Path | None = None) -> BinaryIO:
    """A file to read; with `root` only if it lies below that, whatever links are on the way.

    What is checked is what is opened, even if somebody changes links meanwhile: the place is looked up once.
    A root may itself be a link.

    Raises:
        NotAFile, IsADirectoryError: it is something else.
        OutsideRoot: it lies elsewhere.
        OSError: it cannot be opened.
        ValueError: the name can be no file's.
    """
    file = open(path, "rb", opener=partial(_open, root=root))  # noqa: SIM115 (the caller closes it)
    return cast(BinaryIO, file)


def open_descriptor(path: Path, root: Path | None = None, writing: bool = False) -> int:
    """The same as a descriptor, which the caller closes; with `writing` to be written to as well.

    Raises:
        OSError, ValueError: as `open_file`.
    """
    return _open(os.fspath(path), (os.O_RDWR if writing else os.O_RDONLY) | os.O_CLOEXEC, root)


def read_file(path: Path) -> bytes:
    """All of a file.

    Raises:
        OSError, ValueError: as `open_file`.
    """
    with open_file(path) as file:
        return file.read()


def leads_out(root: Path, name: str) -> bool:
    """Whether a name leads out of `root` by its own words: absolute, or by `..`. Links only `open_file` sees."""
    if ".." not in name and name[:1] != "/" and name[:5].lower() != "file:":
        return False
    path = _absolute(os.path.join(_spelt(root), local_or_itself(name)))  # noqa: PTH118 (names of any kind, for millions)
    return not (_is_in(path, _spelt(root)) or _is_in(path, _real(root)))


def is_below(root: Path, path: Path) -> bool:
    """Whether a place is below `root` once all links are followed."""
    return _is_really_in(os.path.realpath(path), root)


def _open(path: str, flags: int, root: Path | None) -> int:
    """Look a place up without opening what is there, look at it, then open that (open(2), O_PATH; proc(5))."""
    found = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        check_kind(os.fstat(found).st_mode, path)
        itself = f"/proc/self/fd/{found}"
        if root is not None and not _is_really_in(place := os.readlink(itself), root):  # noqa: PTH115 (a text is faster)
            raise OutsideRoot(errno.EPERM, f"lies outside the root {root}, at {place}", path)
        try:
            return os.open(itself, flags)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, path) from error
    finally:
        os.close(found)


def check_kind(mode: int, path: str) -> None:
    """Refuse what is no file, by its mode.

    Raises:
        NotAFile, IsADirectoryError: that.
    """
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(mode):
        raise NotAFile(errno.EINVAL, f"is {_KINDS.get(stat.S_IFMT(mode), 'something else')}, not a file", path)


def _is_really_in(place: str, root: Path) -> bool:
    return _is_in(place, _real(root)) or _is_in(place, os.path.realpath(root))  # where its own link has changed


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))  # noqa: PTH118


@cache
def _spelt(root: Path) -> str:
    return _absolute(root)


@cache
def _real(root: Path) -> str:
    return os.path.realpath(root)


def _absolute(path: str | Path) -> str:
    absolute = os.path.abspath(path)  # noqa: PTH100 (links stay as they are)
    return absolute[1:] if absolute.startswith("//") else absolute
