import errno
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from MetaCaptioner.errors import UserError
from MetaCaptioner.records import journal
from MetaCaptioner.records.journal import Journal, Past


def none_finished(name: str, index: int) -> bool:
    return False


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".Rank0.journal"


def after_a_crash(path: Path, finished: Callable[[str, int], bool] = none_finished) -> Journal:
    """The journal as the next worker opens it, after one that never closed it."""
    opened = Journal(path)
    opened.settle(finished, crashed=True)
    return opened


def test_who_was_in_flight_at_a_crash_is_known_and_counted(path: Path) -> None:
    first = Journal(path)
    for number in range(3):
        first.begin("set", number)
    first.end("set", 1)  # its record is written
    second = after_a_crash(path, finished=lambda name, number: number == 1)
    assert [second.past("set", n) for n in range(4)] == [Past(0, 1), Past(), Past(0, 1), Past()]
    second.begin("set", 2)
    third = after_a_crash(path, finished=lambda name, number: number < 2)
    assert [third.past("set", n) for n in range(3)] == [Past(), Past(), Past(0, 2)]


def test_a_crash_before_anything_has_begun_counts_against_nobody(path: Path) -> None:
    Journal(path).begin("set", 0)
    after_a_crash(path).close()
    assert after_a_crash(path).past("set", 0) == Past(0, 1)
    assert after_a_crash(path).past("set", 0) == Past(0, 1)


def test_a_stop_counts_against_nobody(path: Path) -> None:
    """Nor does a machine that is lost with the supervisor: the next one knows of no crash."""
    Journal(path).begin("set", 0)
    opened = Journal(path)
    opened.settle(none_finished, crashed=False)
    assert opened.past("set", 0) == Past()
    assert path.read_bytes() == b""


def test_crashes_outlast_a_stop(path: Path) -> None:
    Journal(path).begin("set", 0)
    second = after_a_crash(path)
    second.begin("set", 5)
    second.close()
    third = Journal(path)
    third.settle(none_finished, crashed=False)
    assert (third.past("set", 0), third.past("set", 5)) == (Past(0, 1), Past())


def test_attempts_are_remembered_until_there_is_a_record(path: Path) -> None:
    first = Journal(path)
    first.remember([(("set", 0), Past(attempts=3)), (("set", 1), Past(attempts=1))])
    first.begin("set", 0)
    second = after_a_crash(path)
    assert (second.past("set", 0), second.past("set", 1)) == (Past(3, 1), Past(1, 0))
    second.end("set", 0)
    assert second.past("set", 0) == Past()


def test_a_finished_run_leaves_no_file(path: Path) -> None:
    opened = Journal(path)
    assert not path.exists()
    opened.begin("set", 0)
    assert path.exists()
    opened.end("set", 0)
    opened.close()
    assert not path.exists()


def test_the_file_stays_small_and_true(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_LINES_BEFORE_REWRITE", 20)
    opened = Journal(path)
    opened.remember([(("old", 1), Past(attempts=2))])
    longest = 0
    for number in range(500):
        opened.begin("set", number)
        if number >= 4:
            opened.end("set", number - 4)
        longest = max(longest, len(lines(path)))
    assert longest <= 20 + 1 + 2 * 5
    again = after_a_crash(path, finished=lambda name, number: name == "set" and number < 496)
    assert {n for n in range(500) if again.past("set", n) != Past()} == set(range(496, 500))
    assert again.past("old", 1) == Past(2, 0)


@pytest.mark.parametrize(
    "torn",
    [
        b'{"data_name": "set", "index": 1, "att',
        b"\0\0\0\n",
        b"[]\n",
        b"{}\n",
        b'{"data_name": "set", "index": -1, "attempts": 1, "crashes": 1, "in_flight": true}\n',
        b'{"data_name": "set", "index": 1, "attempts": null, "crashes": 1, "in_flight": true}\n',
    ],
)
def test_a_torn_line_has_not_happened(path: Path, torn: bytes) -> None:
    Journal(path).begin("set", 0)
    path.write_bytes(path.read_bytes() + torn)
    second = after_a_crash(path)
    assert (second.past("set", 0), second.past("set", 1)) == (Past(0, 1), Past())


@pytest.mark.parametrize("name", ["a\nb", 'quo"te', "\ud800", "ünï", "a/1"])
def test_strange_names_come_back(path: Path, name: str) -> None:
    Journal(path).begin(name, 1)
    assert after_a_crash(path).past(name, 1) == Past(0, 1)


def test_a_shard_of_failures_to_do_again_takes_little_memory(path: Path) -> None:
    tracemalloc.start()
    try:
        opened = Journal(path)
        opened.remember((("set", number), Past(attempts=1)) for number in range(100_000))
        again = Journal(path)
        assert again.past("set", 99_999) == opened.past("set", 99_999) == Past(1, 0)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 2 < 10 * 100_000


def test_a_full_disk_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Journal(path)
    opened.begin("set", 0)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(UserError, match=r"journal .*\.Rank0\.journal: cannot be written: No space left on device"):
            opened.begin("set", 1)
    assert after_a_crash(path).past("set", 0) == Past(0, 1)


def test_a_folder_in_its_place_is_one_line(path: Path) -> None:
    path.mkdir()
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        Journal(path)
