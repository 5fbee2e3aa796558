import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from MetaCaptioner.utils import locks, temporary
from MetaCaptioner.utils.atomic_io import NotWritten, atomic_folder, atomic_write
from MetaCaptioner.utils.temporary import remove_left

_MAKE = {
    "folder": """
from MetaCaptioner.utils.atomic_io import atomic_folder
with atomic_folder(Path(sys.argv[1]), "export", "done") as folder:
    (folder / "half").write_text("half")
    print("made", flush=True)
    time.sleep(60)
""",
    "file": """
from MetaCaptioner.utils.atomic_io import atomic_write
with atomic_write(Path(sys.argv[1]), "export") as file:
    file.write(b"half")
    print("made", flush=True)
    time.sleep(60)
""",
}


@contextmanager
def maker(kind: str, path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that is making a folder or a file at `path`, and is killed in the midst of it at the end."""
    command = [sys.executable, "-c", f"import sys, time\nfrom pathlib import Path\n{_MAKE[kind]}", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "made\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_is_not(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "captions"
    with maker(kind, path):
        dead = hidden(tmp_path)
    assert hidden(tmp_path) == dead
    assert len(dead) == 1
    with maker(kind, path) as living:
        living.send_signal(signal.SIGSTOP)
        remove_left(path)
        assert len(hidden(tmp_path)) == 1
        assert hidden(tmp_path) != dead
    remove_left(path)
    assert hidden(tmp_path) == []


def test_only_what_was_to_be_this_place_is_removed(tmp_path: Path) -> None:
    with maker("file", tmp_path / "captions.jsonl"):
        pass
    mine = [".captions", ".captions.tmp", ".captions.0-1-2.tmp", ".git"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    remove_left(tmp_path / "captions")
    assert len(hidden(tmp_path)) == 5
    remove_left(tmp_path / "captions.jsonl")
    assert hidden(tmp_path) == sorted(mine)


def test_what_was_to_be_a_place_whose_long_name_begins_alike_is_left(tmp_path: Path) -> None:
    with maker("file", tmp_path / ("x" * 200 + "one")):
        pass
    remove_left(tmp_path / ("x" * 200 + "two"))
    assert len(hidden(tmp_path)) == 1
    remove_left(tmp_path / ("x" * 200 + "one"))
    assert hidden(tmp_path) == []


def test_the_next_folder_takes_away_what_was_left_of_the_one_before(tmp_path: Path) -> None:
    with maker("folder", tmp_path / "export"):
        pass
    with atomic_folder(tmp_path / "export", "export", "done") as folder:
        (folder / "done").write_text("whole")
        assert [path.name for path in folder.iterdir()] == ["done"]
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export" / "done").read_text() == "whole"


def test_what_lay_there_comes_back_if_a_process_was_killed_while_the_two_changed_places(tmp_path: Path) -> None:
    with maker("folder", tmp_path / "export"):
        pass
    [left] = tmp_path.iterdir()
    (left / "old").mkdir()
    (left / "old" / "done").write_text("earlier")
    remove_left(tmp_path / "export")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export" / "done").read_text() == "earlier"


def test_what_lay_there_is_there_again_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "done").write_text("earlier")
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with (
        pytest.raises(NotWritten, match="No space left"),
        atomic_folder(tmp_path / "export", "export", "done") as folder,
    ):
        (folder / "done").write_text("later")
    assert [path.name for path in tmp_path.iterdir()] == ["export"]
    assert (tmp_path / "export" / "done").read_text() == "earlier"


def test_what_another_machine_has_left_is_removed_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its locks may not be seen here."""
    with maker("folder", tmp_path / "export"):
        pass
    [left] = tmp_path.iterdir()
    monkeypatch.setattr(temporary, "_machine", lambda: "0" * 8)
    remove_left(tmp_path / "export")
    assert left.exists()
    yesterday = time.time() - 25 * 3600
    for path in (*left.rglob("*"), left):
        os.utime(path, (yesterday, yesterday))
    remove_left(tmp_path / "export")
    assert not left.exists()


def test_without_locks_all_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks, "_ask", no_locks)
    with atomic_write(tmp_path / "file", "file") as file:
        file.write(b"content")
        remove_left(tmp_path / "file")
        assert len(hidden(tmp_path)) == 1
    assert (tmp_path / "file").read_bytes() == b"content"
