import os
from pathlib import Path

import pytest

from MetaCaptioner.errors import UserError
from MetaCaptioner.utils import parallel as module
from MetaCaptioner.utils.cli import note, say
from MetaCaptioner.utils.log_lines import NOTE, speak
from MetaCaptioner.utils.parallel import parallel_map
from tests.helpers import plain


def work(task: str) -> tuple[str, int]:
    if task == "wrong":
        raise ValueError(task)
    if task == "die":
        os._exit(9)
    return task.upper(), os.getpid()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / name for name in ("small", "large", "none")]
    paths[0].write_bytes(b"x")
    paths[1].write_bytes(b"x" * 1000)
    return paths


@pytest.mark.parametrize("from_bytes", [10**9, 0])
def test_results_come_in_the_order_of_the_tasks(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, from_bytes: int
) -> None:
    monkeypatch.setattr(module, "_FROM_BYTES", from_bytes)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    found = list(parallel_map(work, ["a", "b", "c"], files))
    assert [text for text, _ in found] == ["A", "B", "C"]
    assert (os.getpid() in {process for _, process in found}) == (from_bytes > 0)


def tell(task: str) -> None:
    say(f"{task}: how it goes")
    note(f"{task}: look at it")


def test_helpers_say_as_much_as_this_process(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_FROM_BYTES", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    speak(NOTE)
    list(parallel_map(tell, ["a", "b", "c"], files))
    said = capfd.readouterr().err
    assert sorted(plain(said).splitlines()) == [f"note: {task}: look at it" for task in "abc"]


def test_no_tasks_are_no_results() -> None:
    assert list(parallel_map(work, [], [])) == []


@pytest.mark.parametrize(("task", "error"), [("wrong", ValueError), ("die", UserError)])
def test_what_goes_wrong_in_a_helper_is_raised(
    files: list[Path], monkeypatch: pytest.MonkeyPatch, task: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(module, "_FROM_BYTES", 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    with pytest.raises(error, match="wrong" if task == "wrong" else "a helper process was killed"):
        list(parallel_map(work, ["a", task, "c"], files))
