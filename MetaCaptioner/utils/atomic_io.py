"""Files, and lines at the end of files, that are there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils.durable_rename import put_in_place
from MetaCaptioner.utils.safe_open import read_file
from MetaCaptioner.utils.temporary import NEW, OLD, new_file, new_folder, remove_left


class NotWritten(UserError):
    """A file cannot be written; an earlier one in its place is untouched."""


@contextmanager
def atomic_write(path: Path, what: str, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` in one step when the block ends without an exception.

    With `sync` it is on the disk by then, whatever happens to the machine; millions of small files are better without.

    Raises:
        NotWritten: it cannot be written; the message begins with `what`. An earlier file at `path` is then untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as (temporary, file):
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
            file.close()  # what the disk does not take is told here
            put_in_place(temporary, path, sync)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def restated(path: Path, content: bytes) -> Iterator[None]:
    """Write `path` anew for the block; should that raise, what was there before is there again.

    Raises:
        NotWritten: it cannot be written, or what is there is no file.
    """
    try:
        before = read_file(path) if path.exists() else None
    except OSError as error:
        raise NotWritten(f"statement {path}: cannot be read: {error.strerror or error}") from error
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
        with new_folder(whole) as temporary:
            try:
                (temporary / NEW).mkdir()
                yield temporary / NEW
                _change_places(temporary, whole)
            finally:
                if whole.exists() or not (temporary / OLD).exists():
                    shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise NotWritten(f"{what} {path}: cannot be written: {error.strerror or error}") from error


def _change_places(temporary: Path, whole: Path) -> None:
    """Put what was made in its place; where that fails, what was there before is there again."""
    if whole.exists():
        put_in_place(whole, temporary / OLD, sync=False)
    try:
        put_in_place(temporary / NEW, whole)
    except OSError:
        if (temporary / OLD).exists() and not whole.exists():
            put_in_place(temporary / OLD, whole)
        raise
