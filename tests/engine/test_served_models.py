"""Two models: the demo's looks on a server that the launch has started, another one writes in process."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from MetaCaptioner.metrics.usage import cost_of, runs_of
from tests.families.checkpoints import make_text_only
from tests.helpers import picture_rows, plain, small_plan, write_prompts
from tests.pipeline.commands import module, records, run
from tests.pipeline.test_kill import children, start, wait_until, wait_until_gone
from tests.random_model import ROOT

pytestmark = pytest.mark.engine

LOOKS = str(ROOT / "data" / "demo" / "model")
SAMPLES = 16
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


def servers(pid: int) -> list[int]:
    """The servers among the descendants of a process."""
    lines = {one: Path(f"/proc/{one}/cmdline") for one in children(pid)}
    return [one for one, line in lines.items() if line.exists() and b"engine.vllm_server\0" in line.read_bytes()]


def lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (folder / "out").glob("Rank*.jsonl"))


def test_the_served_one_comes_back_when_it_is_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    make_text_only(tmp_path / "writer")
    writes = str(tmp_path / "writer")
    log = tmp_path / "log"
    process = start(command(tmp_path, {"model": LOOKS, "serve": {}}, {"model": writes}), log)

    def wait_for(condition: Callable[[], object], what: str) -> None:
        try:
            wait_until(condition, what, process)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{plain(log.read_text())}") from error

    wait_for(lambda: lines(tmp_path) >= 3, "3 records")
    begun = children(process.pid)
    [server] = servers(process.pid)
    helpers = children(server)
    assert helpers, "its engine is a process of its own"
    os.kill(server, signal.SIGKILL)
    wait_until_gone([server, *helpers])
    wait_for(lambda: lines(tmp_path) >= SAMPLES, "the other records")
    assert process.wait(60) == 0
    said = plain(log.read_text())
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
    wait_until_gone(begun)
    _check_key_is_nowhere(tmp_path, said)


def _check_key_is_nowhere(folder: Path, said: str) -> None:
    files = [path for path in (folder / "out").rglob("*") if path.is_file()]
    texts = [said, *(path.read_text(errors="replace") for path in files)]
    assert not any("_METACAPTIONER_SERVED" in text or "VLLM_API_KEY" in text for text in texts)


def test_one_that_cannot_be_served_is_one_line_and_the_ranks_stop(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    begin = time.monotonic()
    done = run(command(tmp_path, {"model": str(missing), "serve": {}}, {"model": "w", "engine": "scripted"}))
    assert done.returncode == 1, done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("error: ")]
    assert line.startswith(
        f"error: model 'look' ({missing}) cannot be served: model {missing}: there is no such folder"
    )
    assert time.monotonic() - begin < 30
    assert records(tmp_path / "out") == []


def test_all_ends_with_the_launch_however_it_ends(tmp_path: Path) -> None:
    scripted = {"model": "w", "engine": "scripted", "engine_arg": {"delay": 0.3}}
    process = start(command(tmp_path, {"model": LOOKS, "serve": {}}, scripted), tmp_path / "log")
    wait_until(lambda: lines(tmp_path) >= 1, "a record", process)
    others = children(process.pid)
    [server] = servers(process.pid)
    told = json.loads(Path(f"/proc/{server}/cmdline").read_bytes().split(b"\0")[-2])
    variables = Path(f"/proc/{server}/environ").read_bytes().split(b"\0")
    [key] = [value.partition(b"=")[2] for value in variables if value.startswith(b"VLLM_API_KEY=")]
    assert len(key) > 20
    assert told["model"] == LOOKS
    for one in (process.pid, *others):
        assert key not in Path(f"/proc/{one}/cmdline").read_bytes()
    process.kill()
    process.wait()
    wait_until_gone(others)
    assert all(key not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
