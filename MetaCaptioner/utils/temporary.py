"""Hidden places where something is made before it takes its own, and what killed processes have left of them.

A place beside `NAME` is called `.NAME.MACHINE-PROCESS-CHANCE.tmp`. Its maker holds a lock as long as it lives: on the
file itself, or on the file `lock` in a folder. What nobody holds is nobody's any more.
"""

import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.utils.cli import note
from MetaCaptioner.utils.durable_rename import put_in_place
from MetaCaptioner.utils.file_names import shortened
from MetaCaptioner.utils.locks import hold, is_at

NEW, OLD = "new", "old"
"""In a hidden folder: what is made, and what it takes the place of while they change places."""
_LOCK = "lock"
_SHOWN_BYTES = 60
_UNIQUE = r"(?P<machine>[0-9a-f]{8})-\d+-[0-9a-f]{8}"
_OF_OTHERS_AFTER_SECONDS = 24 * 3600.0


@contextmanager
def new_file(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """A hidden file beside `path`, held for the block, and gone after it if it still has that name.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        hidden = _hidden(path)
        with hidden.open("xb") as file:
            try:
                held = hold(hidden, str(hidden), needed=False, seconds=0)
                if held is None:  # taken for what somebody left
                    continue
                with held:
                    if is_at(file.fileno(), hidden):
                        yield hidden, file
                        return
            finally:
                with suppress(OSError):
                    hidden.unlink()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, held for the block, in which it is for the caller to remove.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        hidden = _hidden(path)
        hidden.mkdir()
        held = None
        with suppress(FileNotFoundError):  # taken for what somebody left
            held = hold(hidden / _LOCK, str(hidden), needed=False, seconds=0)
        if held is not None:
            with held:
                yield hidden
            return


def remove_left(path: Path) -> None:
    """Take away what killed processes have left beside `path`; what they had put aside of it comes back.

    What some process may still be at is left alone: whatever is locked or, without locks, all; and what was made on
    another machine, whose locks may not reach here, unless it is a day old.
    """
    pattern = re.compile(rf"^\.{re.escape(shortened(path.name, _SHOWN_BYTES))}\.{_UNIQUE}\.tmp$")
    with suppress(OSError):
        for hidden in path.absolute().parent.iterdir():
            if (match := pattern.match(hidden.name)) is not None:
                with suppress(OSError):
                    _remove(hidden, path.absolute(), match["machine"] == _machine())


def _remove(hidden: Path, whole: Path, is_of_here: bool) -> None:
    """Remove one of them, if it is nobody's."""
    if not is_of_here and time.time() - _last_change(hidden) < _OF_OTHERS_AFTER_SECONDS:
        return
    is_folder = hidden.is_dir()
    held = hold(hidden / _LOCK if is_folder else hidden, str(hidden), needed=False, seconds=0)
    if held is None:
        return
    with held:
        if not held.kept:
            return
        if is_folder:
            if (hidden / OLD).exists() and not whole.exists():
                put_in_place(hidden / OLD, whole)
            shutil.rmtree(hidden)
        else:
            hidden.unlink()
    note(f"removed {hidden}, which a killed process has left")


def _hidden(path: Path) -> Path:
    """A name that no other process makes, on whatever machine, and that leaves room for the longest names there are."""
    unique = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{shortened(path.name, _SHOWN_BYTES)}.{unique}.tmp")


@cache
def _machine() -> str:
    """What stands for the running kernel, within which all see the same locks."""
    told = os.uname().nodename
    with suppress(OSError):
        told = Path("/proc/sys/kernel/random/boot_id").read_text()
    return f"{zlib.crc32(told.encode()):08x}"


def _last_change(path: Path) -> float:
    """When something was last changed in a place (Unix time, in seconds)."""
    places = [path, *(Path(folder) / name for folder, _, names in os.walk(path) for name in names)]
    return max(place.lstat().st_mtime for place in places)
