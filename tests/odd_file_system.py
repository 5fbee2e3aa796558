"""File systems as users have them, by FUSE: without locks, without links, with coarse times, short names, and so on.

    with mounted(tmp_path, Oddities(flock="ENOLCK")) as odd: ...

`odd.folder` is such a file system: a window on the folder `odd.behind`, which is odd in the ways that are named.
It is served by a process of its own, `python -m tests.odd_file_system`. Needs /dev/fuse, root or fusermount3, and
libfuse (Debian: fuse3). `needs_fuse` skips where they are missing, unless ODD_FILE_SYSTEMS=1 says that they must be
there, as .ci/run does.
"""

import argparse
import contextlib
import errno
import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from MetaCaptioner.utils.processes import kill_when_parent_ends

Lock = Literal["works", "lie", "ENOLCK", "ENOSYS", "EIO", "EACCES", "ENOTSUP"]
Refusal = Literal["works", "EPERM", "ENOTSUP", "ENOSYS", "EINVAL"]
_COARSE = 2 * 10**9


@dataclass(frozen=True)
class Oddities:
    """In which ways a file system is odd; each as a name of `errno`, where something fails."""

    flock: Lock = "works"
    """What flock and lockf answer; a lie is that everybody gets every lock."""
    symlinks: Refusal = "works"
    hard_links: Refusal = "works"
    folder_sync: Refusal = "works"
    name_bytes: int = 255
    """The longest name; 143 is eCryptfs."""
    coarse_times: bool = False
    """Times of change are even seconds, as on FAT."""
    ignores_case: bool = False
    numbers_change: bool = False
    """A file has another inode number each time that nobody has it open any more."""
    removed: Literal["hidden", "stale"] = "hidden"
    """What becomes of a file that is removed or replaced while it is open: it is there under a hidden name until it is
    closed, as on NFS, or whoever asks about it is told ESTALE."""


WITHOUT_LINKS = Oddities(symlinks="EPERM", hard_links="EPERM")
WITHOUT_FLOCK = Oddities(flock="ENOLCK")


@dataclass(frozen=True)
class OddFolder:
    """A mounted odd file system. What is done in `behind` is done as if by another machine."""

    folder: Path
    behind: Path
    _full: Path

    def fill(self) -> None:
        """From now on the disk is full."""
        self._full.touch()

    def make_room(self) -> None:
        self._full.unlink(missing_ok=True)


def why_not() -> str:
    """Why no file system can be mounted here; empty where one can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse cannot be opened"
    if not (find_library("fuse3") or find_library("fuse")):
        return "libfuse is not installed (script/system_packages.txt)"
    if importlib.util.find_spec("mfusepy") is None:
        return "mfusepy is not installed (requirements-dev.txt)"
    return ""


_IS_ASKED_FOR = bool(os.environ.get("ODD_FILE_SYSTEMS"))
needs_fuse = pytest.mark.skipif(bool(why_not()) and not _IS_ASKED_FOR, reason=f"no odd file systems: {why_not()}")


@contextmanager
def mounted(folder: Path, oddities: Oddities) -> Iterator[OddFolder]:
    """Mount an empty odd file system below `folder`; it is gone after the block, what lay in it is not."""
    odd = OddFolder(folder / "odd", folder / "behind", folder / "full")
    odd.folder.mkdir(parents=True)
    odd.behind.mkdir()
    command = [sys.executable, "-m", "tests.odd_file_system", json.dumps(asdict(oddities))]
    places = (odd.behind, odd.folder, odd._full)
    log = folder / "odd.log"
    with log.open("wb") as out:
        server = subprocess.Popen([*command, *places, str(os.getpid())], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 30
        while not odd.folder.is_mount():
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.01)
        yield odd
    finally:
        subprocess.run(["umount", "--lazy", odd.folder], check=False)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(timeout=5)
        server.kill()
        server.wait()


def _number(name: str) -> int:
    return int(getattr(errno, name))


def _serve(oddities: Oddities, behind: Path, folder: Path, full: Path) -> None:
    """Serve until it is unmounted. The library loads libfuse as it is imported, which not every machine has."""
    from mfusepy import FUSE, Operations

    class Odd(Operations):  # type: ignore[misc]
        """Does everything in `behind`, but for what is odd."""

        use_ns = True
        flag_nopath = flag_nullpath_ok = True  # what has a handle is done by its handle, also when its name is gone

        def __init__(self) -> None:
            self._open = Counter[int]()
            self._moves = Counter[int]()

        def _path(self, path: str) -> Path:
            place = behind
            for name in path.split("/"):
                if len(os.fsencode(name)) > oddities.name_bytes:
                    raise OSError(errno.ENAMETOOLONG, path)
                place /= self._spelled(place, name) if oddities.ignores_case else name
            return place

        def _spelled(self, place: Path, name: str) -> str:
            there = place.iterdir() if name and place.is_dir() else ()
            return next((other.name for other in there if other.name.casefold() == name.casefold()), name)

        def _check_room(self) -> None:
            if full.exists():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def getattr(self, path: str | None, fh: int | None = None) -> dict[str, int]:
            found = os.fstat(fh) if fh is not None and path is None else self._path(path or "/").lstat()
            names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks", "st_rdev", "st_ino")
            told = {name: getattr(found, name) for name in names}
            told |= {f"st_{kind}time": getattr(found, f"st_{kind}time_ns") for kind in ("a", "m", "c")}
            if oddities.coarse_times:
                told |= {name: told[name] // _COARSE * _COARSE for name in ("st_mtime", "st_ctime")}
            if oddities.numbers_change:
                told["st_ino"] = (found.st_ino << 16) + self._moves[found.st_ino] % 2**16
            return told

        def opendir(self, path: str) -> int:
            return os.open(self._path(path), os.O_RDONLY | os.O_DIRECTORY)

        def readdir(self, path: str | None, fh: int) -> list[tuple[str, None, int]]:
            return [(name, None, 0) for name in (".", "..", *os.listdir(fh))]

        def releasedir(self, path: str | None, fh: int) -> int:
            os.close(fh)
            return 0

        def readlink(self, path: str) -> str:
            return str(self._path(path).readlink())

        def symlink(self, target: str, source: str) -> int:
            if oddities.symlinks != "works":
                raise OSError(_number(oddities.symlinks), target)
            self._check_room()
            self._path(target).symlink_to(source)
            return 0

        def link(self, target: str, source: str) -> int:
            if oddities.hard_links != "works":
                raise OSError(_number(oddities.hard_links), target)
            self._path(target).hardlink_to(self._path(source))
            return 0

        def mknod(self, path: str, mode: int, dev: int) -> int:
            os.mknod(self._path(path), mode, dev)
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            self._check_room()
            self._path(path).mkdir(mode)
            return 0

        def rmdir(self, path: str) -> int:
            self._path(path).rmdir()
            return 0

        def unlink(self, path: str) -> int:
            self._path(path).unlink()
            return 0

        def rename(self, old: str, new: str) -> int:
            self._path(old).rename(self._path(new))
            return 0

        def create(self, path: str, mode: int, flags: int | None = None) -> int:
            self._check_room()
            return self._opened(os.open(self._path(path), os.O_RDWR | os.O_CREAT | ((flags or 0) & os.O_EXCL), mode))

        def open(self, path: str, flags: int) -> int:
            # The kernel makes the offsets of what is appended; what is written may also have to be read.
            return self._opened(os.open(self._path(path), flags & ~(os.O_APPEND | os.O_NOFOLLOW)))

        def _opened(self, fh: int) -> int:
            self._open[os.fstat(fh).st_ino] += 1
            return fh

        def release(self, path: str | None, fh: int) -> int:
            number = os.fstat(fh).st_ino
            self._open[number] -= 1
            self._moves[number] += self._open[number] == 0
            os.close(fh)
            return 0

        def read(self, path: str | None, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str | None, data: bytes, offset: int, fh: int) -> int:
            self._check_room()
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str | None, length: int, fh: int | None = None) -> int:
            os.truncate(fh if fh is not None and path is None else self._path(path or "/"), length)
            return 0

        def flush(self, path: str | None, fh: int) -> int:
            return 0

        def fsync(self, path: str | None, datasync: int, fh: int) -> int:
            return 0

        def fsyncdir(self, path: str | None, datasync: int, fh: int) -> int:
            if oddities.folder_sync != "works":
                raise OSError(_number(oddities.folder_sync), path)
            return 0

        def chmod(self, path: str, mode: int) -> int:
            self._path(path).chmod(mode)
            return 0

        def chown(self, path: str, uid: int, gid: int) -> int:
            os.chown(self._path(path), uid, gid, follow_symlinks=False)
            return 0

        def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
            os.utime(self._path(path), ns=times, follow_symlinks=False)
            return 0

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(behind)
            names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")
            return {name: getattr(found, name) for name in names} | {"f_namemax": oddities.name_bytes}

    class OddLocks(Odd):
        """Answers for locks itself; else the kernel does, and well."""

        def flock(self, path: str | None, fh: int, op: int) -> int:
            if oddities.flock != "lie":
                raise OSError(_number(oddities.flock), path)
            return 0

        def lock(self, path: str | None, fh: int, cmd: int, lock: Any) -> int:
            lock.contents.l_type = fcntl.F_UNLCK  # who asks about a lock is told that nobody has it
            return self.flock(path, fh, 0)

    class Fuse(FUSE):  # type: ignore[misc]
        """Hands on the handles where they are told in place of paths."""

        def flock(self, path: bytes | None, fip: Any, op: int) -> int:
            return int(self.operations.flock(None, fip.contents.fh, op))

        def truncate_fuse_3(self, path: bytes | None, length: int, fip: Any) -> int:
            return int(self.operations.truncate(path and os.fsdecode(path), length, fip.contents.fh if fip else None))

    Fuse(
        Odd() if oddities.flock == "works" else OddLocks(),
        str(folder),
        foreground=True,
        nothreads=True,
        use_ino=True,
        hard_remove=oddities.removed == "stale",
        entry_timeout=0.0,  # what is done behind is seen at once
        attr_timeout=0.0,
        fsname="odd",
        subtype="odd",
        auto_unmount=True,
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description="Serve an odd file system.")
    parser.add_argument("oddities", help="the fields of Oddities as JSON")
    for name in ("behind", "folder", "full"):
        parser.add_argument(name, type=Path)
    parser.add_argument("parent", type=int, help="the process with which this ends")
    told = parser.parse_args()
    kill_when_parent_ends(told.parent)
    _serve(Oddities(**json.loads(told.oddities)), told.behind, told.folder, told.full)


if __name__ == "__main__":
    _main()
