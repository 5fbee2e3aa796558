"""Hidden places where something is made before it takes its own, and what killed processes have left of them.

A place beside `NAME` is called `.NAME.MACHINE-PROCESS-CHANCE.tmp`. Its maker holds a lock as long as it lives: on the
file itself, or on the file `lock` in a folder. What nobody holds is nobody's any more.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from MetaCaptioner.terminal import say

NEW, OLD = "new", "old"
"""In a hidden folder: what is made, and what it takes the place of while they change places."""
_LOCK = "lock"
_SHOWN_LETTERS = 40
_UNIQUE = r"(?P<machine>[0-9a-f]{8})-\d+-[0-9a-f]{8}"
_OF_OTHERS_AFTER_SECONDS = 24 * 3600.0


def new_file(path: Path) -> tuple[Path, BinaryIO]:
    """A hidden file beside `path`, held as long as it is open.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        hidden = _hidden(path)
        file = hidden.open("xb")
        if _is_ours(file.fileno(), hidden):
            return hidden, file
        file.close()


def new_folder(path: Path) -> tuple[Path, int]:
    """A hidden folder beside `path`, and the descriptor with which the hold on it ends.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        hidden = _hidden(path)
        hidden.mkdir()
        with suppress(FileNotFoundError):  # taken for what somebody left
            descriptor = os.open(hidden / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            if _is_ours(descriptor, hidden / _LOCK):
                return hidden, descriptor
            os.close(descriptor)


def remove_left(path: Path) -> None:
    """Take away what killed processes have left beside `path`; what they had put aside of it comes back.

    What some process may still be at is left alone: whatever is locked or, without locks, all; and what was made on
    another machine, whose locks may not reach here, unless it is a day old.
    """
    pattern = re.compile(rf"^\.{re.escape(path.name[:_SHOWN_LETTERS])}\.{_UNIQUE}\.tmp$")
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
    if is_folder and not any(hidden.iterdir()):
        hidden.rmdir()
        return
    descriptor = os.open(hidden / _LOCK if is_folder else hidden, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_folder:
            if (hidden / OLD).exists() and not whole.exists():
                (hidden / OLD).rename(whole)
            shutil.rmtree(hidden)
        else:
            hidden.unlink()
    finally:
        os.close(descriptor)
    say(f"note: removed {hidden}, which a killed process has left")


def _hidden(path: Path) -> Path:
    """A name that no other process makes, on whatever machine, and that leaves room for the longest names there are."""
    unique = f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name[:_SHOWN_LETTERS]}.{unique}.tmp")


@cache
def _machine() -> str:
    """What stands for the running kernel, within which all see the same locks."""
    told = os.uname().nodename
    with suppress(OSError):
        told = Path("/proc/sys/kernel/random/boot_id").read_text()
    return f"{zlib.crc32(told.encode()):08x}"


def _is_ours(descriptor: int, path: Path) -> bool:
    """Hold what was just made; False where another process has taken it for what somebody left."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError:
        return True  # a file system without locks, where nobody removes anything


def _last_change(path: Path) -> float:
    """When something was last changed in a place (Unix time, in seconds)."""
    places = [path, *(Path(folder) / name for folder, _, names in os.walk(path) for name in names)]
    return max(place.lstat().st_mtime for place in places)
