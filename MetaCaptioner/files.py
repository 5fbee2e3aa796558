"""Files, and lines at the end of files, that are there whole or not at all."""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.errors import UserError

_SHOWN_BYTES = 60
_CANNOT_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY, errno.EBADF}


class NotWritten(UserError):
    """A file cannot be written; an earlier one in its place is untouched."""


def shortened(name: str, most: int) -> str:
    """A name of at most so many bytes in UTF-8; of a longer one the beginning and a hash of the whole."""
    content = name.encode("utf-8", "surrogatepass")
    if len(content) <= most:
        return name
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"{content[: most - len(digest) - 1].decode('utf-8', 'ignore')}-{digest}"


@contextmanager
def atomic_write(path: Path, what: str, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in one step when the block ends without an exception.

    With `sync` it is on the disk by then, whatever happens to the machine; millions of small files are better without.

    Raises:
        NotWritten: it cannot be written; the message begins with `what`. An earlier file at `path` is then untouched.
    """
    # Process numbers repeat from machine to machine; the folder may be shared by many.
    # Its name leaves room for the longest that file systems take.
    temporary = path.with_name(f".{_beginning(path)}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        put_in_place(temporary, path, sync)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def restated(path: Path, content: bytes) -> Iterator[None]:
    """Write `path` anew for the block; should that raise, what was there before is there again.

    Raises:
        NotWritten: it cannot be written.
    """
    before = path.read_bytes() if path.exists() else None
    with atomic_write(path, "statement") as file:
        file.write(content)
    try:
        yield
    except BaseException:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            with atomic_write(path, "statement") as file:
                file.write(before)
        raise


def _beginning(path: Path) -> str:
    return os.fsencode(path.name)[:_SHOWN_BYTES].decode("utf-8", "ignore")


def put_in_place(made: Path, path: Path, sync: bool = True) -> None:
    """Give a file or folder, in the same folder, the name `path`, also where that is taken by an earlier file.

    With `sync` it has that name after a power cut too, which the folder alone knows.

    Raises:
        OSError: it cannot be done.
    """
    made.replace(path)
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the file system does such a thing.

    Raises:
        OSError: the disk fails.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # of one who may write there, but not list it
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


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

    A folder with a file of the name `replaced_if` in it is replaced; any other must be empty or not there.

    Raises:
        NotWritten: it cannot be written, or something is there already; that is then untouched.
    """
    whole = path.absolute()
    unique = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary, old = (whole.with_name(f".{_beginning(whole)}.{unique}.{kind}") for kind in ("tmp", "old"))
    try:
        if whole.exists() and not whole.is_dir():
            raise NotWritten(f"{what} {path}: is a file")
        if whole.exists() and any(whole.iterdir()) and not (replaced_if and (whole / replaced_if).is_file()):
            raise NotWritten(f"{what} {path}: something else is there already; name another place")
        temporary.mkdir(parents=True)
        yield temporary
        if whole.exists():
            put_in_place(whole, old, sync=False)
        put_in_place(temporary, whole)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
