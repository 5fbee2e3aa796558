import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from MetaCaptioner.data.metafile import add_entry
from MetaCaptioner.utils import locks
from MetaCaptioner.utils.locks import NoLocks, check_kept, held_alone, hold, is_held_alone


def test_one_is_let_in_at_a_time_whoever_comes_while_others_wait(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def come_again_and_again() -> None:
        for _ in range(6):
            with held_alone(tmp_path / ".lock", "a test"):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=come_again_and_again) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1]
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_of_three_writers_of_a_metafile_none_loses_a_dataset(tmp_path: Path) -> None:
    for number in range(60):
        metafile = tmp_path / f"{number}.json"
        begin, go = os.pipe()
        writers = []
        for writer in range(3):
            if (pid := os.fork()) == 0:
                try:
                    os.close(go)
                    os.read(begin, 1)
                    sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123
                    for dataset in range(3):
                        add_entry(metafile, f"{writer}.{dataset}", {}, replaces=False)
                finally:
                    os._exit(0)
            writers.append(pid)
        os.close(go)
        os.close(begin)
        for pid in writers:
            os.waitpid(pid, 0)
        assert len(json.loads(metafile.read_text())) == 9


def test_a_lock_whose_file_was_taken_away_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody removes the file after it was opened and before it is locked: then others could hold a new one."""
    path, opened = tmp_path / ".lock", locks._open

    def removed_once(path: Path) -> int:
        descriptor = opened(path)
        monkeypatch.setattr(locks, "_open", opened)
        path.unlink()
        return descriptor

    monkeypatch.setattr(locks, "_open", removed_once)
    with held_alone(path, "a test") as held:
        assert held.is_in_place()
        assert is_held_alone(path)
        path.unlink()
        assert not held.is_in_place()


def taken(path: Path, group: int = 0) -> bool:
    held = hold(path, "a test", True, 0, group)
    if held is not None:
        held.close()
    return held is not None


def test_a_group_shares_and_keeps_all_others_out(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    for group in (1, 2, 5):
        held = hold(path, "a test", True, 0, group)
        assert held is not None
        with held:
            assert [other for other in range(8) if taken(path, other)] == [group]
            assert not is_held_alone(path)
    with held_alone(path, "a test"):
        assert not any(taken(path, other) for other in range(8))
        assert is_held_alone(path)
    assert not is_held_alone(path)


# --- file systems without locks


def answers(code: int) -> Callable[..., int]:
    def ask(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    return ask


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EIO, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(locks, "_ask", answers(code))
    with pytest.raises(NoLocks, match=rf"(?s)folder x: .* no locks .*{os.strerror(code)}.* --single-launch"):
        hold(tmp_path / ".lock", "folder x", True, 0)
    with pytest.raises(NoLocks, match="--single-launch"):
        check_kept(tmp_path, "folder x")
    with held_alone(tmp_path / ".lock", "folder x", needed=False) as held:
        assert not held.kept


@pytest.mark.parametrize("group", [0, 3])
def test_locks_that_keep_nobody_out_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int) -> None:
    monkeypatch.setattr(locks, "_ask", lambda descriptor, command, kind, start, length: locks.fcntl.F_UNLCK)
    with pytest.raises(NoLocks, match="grants a lock twice"):
        hold(tmp_path / ".lock", "folder x", True, 0, group)
    held = hold(tmp_path / ".lock", "folder x", False, 0, group)
    assert held is not None
    assert not held.kept


def test_that_others_have_it_may_be_told_as_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fcntl(2): a lock that others have is EAGAIN or EACCES."""
    ask = locks._ask

    def forbidding(descriptor: int, command: int, kind: int, start: int, length: int) -> int:
        try:
            return ask(descriptor, command, kind, start, length)
        except BlockingIOError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error

    monkeypatch.setattr(locks, "_ask", forbidding)
    with held_alone(tmp_path / ".lock", "a test"):
        assert not taken(tmp_path / ".lock")


# --- who may hold a lock


@pytest.mark.parametrize(("folder", "file"), [(0o755, 0o600), (0o775, 0o660), (0o2775, 0o660), (0o1777, 0o666)])
def test_who_may_write_in_the_folder_may_hold_the_lock_and_nobody_else(tmp_path: Path, folder: int, file: int) -> None:
    place = tmp_path / "out"
    place.mkdir()
    place.chmod(folder)
    with held_alone(place / ".lock", "a test"):
        assert (place / ".lock").stat().st_mode & 0o777 == file
        assert (place / ".lock").stat().st_gid == place.stat().st_gid


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_reader_cannot_hold_the_lock() -> None:
    with TemporaryDirectory() as name:
        lock, beside = Path(name) / ".lock", Path(name) / "file"
        Path(name).chmod(0o755)
        with held_alone(lock, "a test"):
            beside.touch(0o644)
            nobody = {"user": 65534, "group": 65534, "extra_groups": []}
            read = [subprocess.run(["/bin/cat", path], **nobody, check=False).returncode for path in (lock, beside)]  # type: ignore[call-overload]
    assert read == [1, 0]
