"""The odd file systems are odd in the ways they should be, and in no other."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.odd_file_system import WITHOUT_LINKS, Lock, Oddities, mounted, needs_fuse

pytestmark = needs_fuse


def answer(action: Callable[[], object]) -> str:
    """How a call ends: well, or with this error."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def locks(folder: Path) -> list[str]:
    """What the first and the second are answered that lock a file."""
    with (folder / "lock").open("w") as one, (folder / "lock").open("w") as two:
        return [answer(lambda f=file: fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)) for file in (one, two)]  # type: ignore[misc]


@pytest.mark.parametrize("oddities", [Oddities(), WITHOUT_LINKS, Oddities(flock="EIO", name_bytes=143)])
def test_files_are_written_appended_renamed_and_removed(tmp_path: Path, oddities: Oddities) -> None:
    with mounted(tmp_path, oddities) as odd:
        first, second = odd.folder / "folder" / "first", odd.folder / "folder" / "second"
        first.parent.mkdir()
        first.write_text("one\n")
        with first.open("a") as file:
            file.write("two\n")
            file.flush()
            os.fsync(file.fileno())
            os.ftruncate(file.fileno(), 6)
            os.ftruncate(file.fileno(), 8)
            os.ftruncate(file.fileno(), 4)
            file.write("two\n")
            file.flush()
            first.replace(second)
            file.write("three\n")
        assert second.read_text() == (odd.behind / "folder" / "second").read_text() == "one\ntwo\nthree\n"
        os.truncate(second, 4)
        assert (second.read_text(), os.listdir(second.parent)) == ("one\n", ["second"])  # noqa: PTH208
        second.unlink()
        second.parent.rmdir()
        assert list(odd.folder.iterdir()) == []
    assert not odd.folder.is_mount()


@pytest.mark.parametrize("kind", ["ENOLCK", "ENOSYS", "EIO", "EACCES", "ENOTSUP"])
def test_no_locks(tmp_path: Path, kind: Lock) -> None:
    with mounted(tmp_path, Oddities(flock=kind)) as odd:
        name = errno.errorcode[getattr(errno, kind)]
        assert locks(odd.folder) == [name, name]
        with (odd.folder / "lock").open("w") as file:
            assert answer(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)) == name


def test_locks_that_keep_nobody_out_and_such_that_do(tmp_path: Path) -> None:
    with mounted(tmp_path / "lie", Oddities(flock="lie")) as odd:
        assert locks(odd.folder) == ["done", "done"]
    with mounted(tmp_path / "true", Oddities()) as odd:
        assert locks(odd.folder) == ["done", "EAGAIN"]


def test_no_links(tmp_path: Path) -> None:
    with mounted(tmp_path, Oddities(symlinks="EPERM", hard_links="ENOTSUP")) as odd:
        (odd.folder / "file").touch()
        assert answer(lambda: (odd.folder / "soft").symlink_to("file")) == "EPERM"
        assert answer(lambda: (odd.folder / "hard").hardlink_to(odd.folder / "file")) == "ENOTSUP"
    with mounted(tmp_path / "usual", Oddities()) as odd:
        (odd.folder / "soft").symlink_to("file")
        assert str((odd.folder / "soft").readlink()) == "file"


def test_names_times_numbers_and_folders(tmp_path: Path) -> None:
    odd_ways = Oddities(folder_sync="EINVAL", name_bytes=143, coarse_times=True, ignores_case=True, numbers_change=True)
    with mounted(tmp_path, odd_ways) as odd:
        assert answer((odd.folder / ("n" * 143)).touch) == "done"
        assert answer((odd.folder / ("n" * 144)).touch) == "ENAMETOOLONG"
        (odd.folder / "File").write_text("text")
        assert (odd.folder / "fILE").read_text() == "text"
        found = (odd.folder / "File").stat()
        assert found.st_mtime % 2 == 0
        with (odd.folder / "File").open() as file:
            while_open = os.fstat(file.fileno()).st_ino
            assert (odd.folder / "File").stat().st_ino == while_open
        assert (odd.folder / "File").stat().st_ino != while_open
        folder = os.open(odd.folder, os.O_RDONLY)
        assert answer(lambda: os.fsync(folder)) == "EINVAL"
        os.close(folder)


def test_a_disk_that_is_full_for_a_while(tmp_path: Path) -> None:
    with mounted(tmp_path, Oddities()) as odd, (odd.folder / "file").open("wb", buffering=0) as file:
        file.write(b"one\n")
        odd.fill()
        assert answer(lambda: file.write(b"two\n")) == "ENOSPC"
        assert answer((odd.folder / "other").touch) == "ENOSPC"
        odd.make_room()
        file.write(b"three\n")
        assert (odd.folder / "file").read_text() == "one\nthree\n"


def test_what_is_removed_while_it_is_open(tmp_path: Path) -> None:
    with mounted(tmp_path / "hidden", Oddities()) as odd, (odd.folder / "file").open("wb", buffering=0) as file:
        (odd.folder / "file").unlink()
        assert [answer(lambda: file.write(b"one\n")), answer(lambda: os.fstat(file.fileno()))] == ["done", "done"]
        assert not (odd.folder / "file").exists()
    with mounted(tmp_path / "stale", Oddities(removed="stale")) as odd:
        file = (odd.folder / "file").open("wb", buffering=0)
        (odd.folder / "file").unlink()
        assert answer(lambda: os.fstat(file.fileno())) == "ESTALE"
        file.close()
