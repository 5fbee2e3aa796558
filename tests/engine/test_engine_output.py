"""What an engine prints, from this process, its children and C++, is kept; a real load is seen in the demo's test."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from MetaCaptioner.engine import engine_output
from MetaCaptioner.engine.engine_output import EngineOutput, LoadingReport
from tests.pipeline.commands import environment

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
from MetaCaptioner.engine.engine_output import EngineOutput
output = EngineOutput(Path(sys.argv[1]))
print("by python", flush=True)
os.write(1, b"by a library\\n")
os.write(2, b"by a library to stderr\\n")
subprocess.run([sys.executable, "-c", "import sys; print('by a child'); sys.stderr.write('its stderr\\\\n')"])
print("ours \\u2013 \\udcff", file=sys.stderr)
os.kill(os.getpid(), __import__("signal").SIGUSR2)
"""


def test_all_but_what_we_say_goes_to_the_file(tmp_path: Path) -> None:
    log = tmp_path / "runs" / "engine.log"
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM, log], env=environment(), capture_output=True, text=True, check=True
        )
        assert run.stdout == ""
        assert run.stderr.startswith("ours – \\udcff\n")
        assert "File " in run.stderr, "the stacks that are asked for are ours too"
    kept = log.read_text()
    for line in ("by python", "by a library", "by a library to stderr", "by a child", "its stderr"):
        assert kept.count(f"{line}\n") == 2
    assert "ours" not in kept
    assert kept.count("\n--- 20") == 2


def test_a_log_that_has_grown_too_long_is_set_aside(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_bytes(b"x" * 17 * 2**20)
    subprocess.run([sys.executable, "-c", PROGRAM, log], env=environment(), capture_output=True, check=True)
    assert log.stat().st_size < 1000
    assert (tmp_path / "engine.log.1").stat().st_size == 17 * 2**20


@pytest.fixture
def output(tmp_path: Path) -> EngineOutput:
    """Without its effect on this process."""
    found = object.__new__(EngineOutput)
    found.path = tmp_path / "log"
    found._begin = len("Graph capturing finished in an earlier run\n")
    found.path.write_text("Graph capturing finished in an earlier run\n")
    return found


def prints(output: EngineOutput, text: str) -> None:
    with output.path.open("a") as file:
        file.write(text)


def test_what_a_load_is_at_is_what_was_printed_last(output: EngineOutput) -> None:
    phases = [output.phase()]
    for line in (
        "INFO [core.py:133] Initializing a V1 LLM engine (v0.32.0)",
        "INFO [gpu_model_runner.py:5040] Starting to load model some/model...",
        "INFO [default_loader.py:501] Loading weights took 0.73 seconds",
        "INFO [monitor.py:40] Starting torch.compile",
        "INFO [gpu_worker.py:760] Available KV cache memory: 9.1 GiB",
        "INFO [gpu_model_runner.py:6369] Profiling CUDA graph memory: PIECEWISE=51",
    ):
        prints(output, f"(EngineCore pid=1) {line}\n")
        phases.append(output.phase())
    assert phases == [
        "importing vLLM",
        "making the model",
        "fetching and reading its weights",
        "fetching and reading its weights",
        "compiling",
        "making room for the cache",
        "recording CUDA graphs",
    ]


def test_the_cause_of_a_failed_load_is_the_last_error_of_its_own(output: EngineOutput) -> None:
    assert output.cause() is None
    prints(output, "Traceback (most recent call last):\n  raise ValueError(x)\nKeyError: 'first'\n")
    prints(output, "(EngineCore pid=7) ERROR 11-28 [core.py:1510] torch.OutOfMemoryError: CUDA out of memory.\n")
    prints(output, "RuntimeError: Engine core initialization failed. See root cause above.\n")
    assert output.cause() == "torch.OutOfMemoryError: CUDA out of memory."


def test_a_load_is_told_when_it_comes_on_and_every_so_often(
    output: EngineOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_output, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(engine_output, "_SAY_SECONDS", 0.2)
    said: list[str] = []
    with LoadingReport(output, said.append):
        while len(said) < 3:
            time.sleep(0.01)
        prints(output, "Starting torch.compile\n")
        while not said[-1].startswith("loading: compiling ("):
            time.sleep(0.01)
    count = len(said)
    time.sleep(0.3)
    assert len(said) == count
    assert {line.partition(" (")[0] for line in said[:3]} == {"loading: importing vLLM"}
