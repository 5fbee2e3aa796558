"""Two models: the demo's looks on a server that the launch has started, another one writes in process."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
import yaml

from MetaCaptioner.metrics.usage import cost_of, runs_of
from tests.families.checkpoints import make_text_only
from tests.helpers import picture_rows, plain, small_plan, write_prompts
from tests.pipeline.commands import module, records, run
from tests.pipeline.test_kill import children, start, wait_until_gone
from tests.random_model import ROOT

pytestmark = pytest.mark.engine

LOOKS = str(ROOT / "data" / "demo" / "model")
SAMPLES = 16
PATIENCE_SECONDS = 300.0
SERVER = b"engine.vllm_server\0"
AGENTS = [
    {"name": "things", "model": "look", "max_tokens": 24, "prompt": "Note every group: its side, count and colour."},
    {
        "name": "summary",
        "role": "summary",
        "model": "write",
        "sees_media": False,
        "max_tokens": 8,
        "requires": ["things"],
        "prompt": "Notes: {things}\nWrite the caption of this scene.",
    },
]


def command(folder: Path, look: dict[str, object], write: dict[str, object]) -> list[str | Path]:
    """Captions of some pictures by two models."""
    plan = small_plan(folder, picture_rows(folder / "media", SAMPLES))
    prompts = write_prompts(folder / "prompts", every={"domain": "*", "agents": AGENTS})
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump({"models": {"look": look, "router": look, "write": write}}))
    flags = ("--plan", plan, "--output-dir", folder / "out", "--prompts-dir", prompts, "--config", config)
    return module("__main__", "caption", *flags, "--ranks", "1", "--in-flight", "2", "--seed", "7")


class Launch:
    """A launch that captions, from its start; nothing of it is left at the end of the block."""

    def __init__(self, folder: Path, look: dict[str, object], write: dict[str, object]) -> None:
        self.folder, self._log = folder, folder / "log"
        self.begun: list[int] = []
        self.process = start(command(folder, look, write), self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        wait_until_gone(self.begun)

    @property
    def said(self) -> str:
        return plain(self._log.read_text())

    def wait_for(self, true: Callable[[], bool]) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not true():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def wait_for_records(self, count: int) -> None:
        """Wait until so many are there, and note which processes there are by then."""
        results = self.folder / "out"
        self.wait_for(lambda: sum(path.read_bytes().count(b"\n") for path in results.glob("Rank*.jsonl")) >= count)
        self.begun += children(self.process.pid)

    def servers(self) -> list[int]:
        """The servers among the processes."""
        found = []
        for process in children(self.process.pid):
            with suppress(OSError):
                found += [process] * (SERVER in Path(f"/proc/{process}/cmdline").read_bytes())
        return found


def test_the_served_one_comes_back_when_it_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    make_text_only(tmp_path / "writer")
    writes = str(tmp_path / "writer")
    with Launch(tmp_path, {"model": LOOKS, "serve": {}}, {"model": writes}) as launch:
        launch.wait_for_records(3)
        [server] = launch.servers()
        helpers = children(server)
        assert helpers, "its engine is a process of its own"
        os.kill(server, signal.SIGKILL)
        wait_until_gone([server, *helpers])
        launch.wait_for_records(SAMPLES)
        assert launch.process.wait(PATIENCE_SECONDS) == 0
    said = launch.said
    assert said.count(f"model 'look' ({LOOKS}): served on the CPU after ") == 2
    assert "its server was killed by SIGKILL; another one is started" in said
    made = records(tmp_path / "out")
    assert sorted(one["index"] for one in made) == [*range(SAMPLES)]
    for one in made:
        assert one["status"] == "ok", one
        assert (one["model"], one["models"]) == (writes, {"look": LOOKS, "router": LOOKS, "write": writes})
        assert {name: answer["model"] for name, answer in one["agents"].items()} == {"things": LOOKS, "summary": writes}
    costs = cost_of(runs_of([tmp_path / "out"]), SAMPLES)["models"]
    assert {name: one["output_tokens"] > 0 for name, one in costs.items()} == {LOOKS: True, writes: True}


def test_one_that_cannot_be_served_is_one_line_and_the_ranks_stop(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    done = run(command(tmp_path, {"model": str(missing), "serve": {}}, {"model": "w", "engine": "scripted"}))
    assert done.returncode == 1, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    why = f"model {missing}: there is no such folder"
    assert line.startswith(f"error: model 'look' ({missing}) cannot be served: {why}")
    assert records(tmp_path / "out") == []


def test_all_ends_with_the_launch_however_it_ends_and_its_key_is_nowhere(tmp_path: Path) -> None:
    with Launch(tmp_path, {"model": LOOKS, "serve": {}}, {"model": "w", "engine": "scripted"}) as launch:
        launch.wait_for(lambda: len(launch.servers()) == 1 and len(children(launch.process.pid)) > 3)
        launch.begun = children(launch.process.pid)
        variables = Path(f"/proc/{launch.servers()[0]}/environ").read_bytes().split(b"\0")
        [key] = [value.partition(b"=")[2] for value in variables if value.startswith(b"VLLM_API_KEY=")]
        assert len(key) > 20
        for one in (launch.process.pid, *launch.begun):
            assert key not in Path(f"/proc/{one}/cmdline").read_bytes()
    assert all(key not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
