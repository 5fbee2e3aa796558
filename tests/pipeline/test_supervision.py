"""Started as a user does: a sample that kills, an engine that hangs, a disk that fills up."""

import json
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from MetaCaptioner.metrics.usage import runs_of
from tests.chaos.processes import Run
from tests.helpers import all_records, error_kinds, names, records, small_plan
from tests.pipeline.commands import module, run, script, succeed
from tests.slurm.cluster import wait_until


def scripted(plan: Path, output: Path, *flags: str, **script: object) -> list[str | Path]:
    arguments = [f"--engine-arg={name}={value}" for name, value in script.items()]
    return module("captionpipeline", "--plan", plan, "--output-dir", output, "--model", "none", "--engine", "scripted",
                  "--in-flight", "4", "--decode-threads", "1", *flags, *arguments)  # fmt: skip


@pytest.mark.parametrize(
    ("process", "last_words"), [("true", "failed"), ("false", "working")], ids=["kills the engine", "kills the worker"]
)
def test_a_poisoned_sample_costs_one_record_and_at_most_three_restarts(
    tmp_path: Path, process: str, last_words: str
) -> None:
    plan, output, log = small_plan(tmp_path, 16), tmp_path / "out", tmp_path / "asked"
    said = succeed(scripted(plan, output, process=process, crash_on='["set/9"]', log=log))
    assert error_kinds(output) == {"set/9": "engine_crash"}
    assert set(records(output)) == names(16)
    assert said.count("another one goes on") == 3
    asked = Counter(line.rpartition("/")[0] for line in log.read_text().splitlines())
    assert max(asked.values()) <= 3
    assert {count for name, count in asked.items() if name.startswith("set/15/")} == {1}
    # A worker that is killed cannot close its account, one whose engine dies can; each has one of its own.
    assert [account.state for account in runs_of([output])] == [last_words] * 3 + ["done"]
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))


def test_eight_poisoned_samples_in_a_row_are_recorded_in_one_run(tmp_path: Path) -> None:
    plan, output = small_plan(tmp_path, 16), tmp_path / "out"
    poisoned = [f"set/{number}" for number in range(4, 12)]
    said = succeed(scripted(plan, output, "--in-flight", "8", process="true", crash_on=json.dumps(poisoned)))
    assert error_kinds(output) == dict.fromkeys(poisoned, "engine_crash")
    assert set(records(output)) == names(16)
    assert "given up" not in said


def test_an_engine_that_hangs_is_noticed_and_started_again(tmp_path: Path) -> None:
    # Five requests a sample, and two samples in flight: two are done by then, and the next worker does the other four.
    plan, output = small_plan(tmp_path, 6), tmp_path / "out"
    said = succeed(scripted(plan, output, "--in-flight", "2", "--stall-seconds", "2", hang_after=20))
    assert (set(records(output)), error_kinds(output)) == (names(6), {})
    assert re.search(r"the worker was taken for hung: \d+ requests, no token for \d s; another one goes on", said)
    assert re.search(r"process \d+ \(python[\d.]*\):\n(Current thread|Thread) 0x", said)
    assert "asyncio/base_events.py" in said


@pytest.mark.engine
@pytest.mark.long
def test_a_real_engine_whose_process_stands_still_is_noticed_and_started_again(
    tmp_path: Path, random_model: Path
) -> None:
    """While it worked, slowly enough on a CPU, nobody took it for hung."""
    plan, output, log = small_plan(tmp_path, 16), tmp_path / "out", tmp_path / "log"
    flags = ("--in-flight", "4", "--max-output-tokens", "32", "--max-model-len", "4096", "--stall-seconds", "12")
    stage = Run(module("captionpipeline", "--plan", plan, "--output-dir", output, "--model", random_model, *flags), log)
    wait_until(lambda: bool(all_records(output)), "a record")
    engine = stage.pid("engine")
    assert engine is not None
    os.kill(engine, signal.SIGSTOP)
    assert stage.process.wait() == 0, log.read_text()
    said = log.read_text()
    assert re.findall(r"taken for hung: \d+ requests, no token for (1[2-5]) s; another one goes on \(1 ", said)
    assert said.count("another one goes on") == 1
    assert not Path(f"/proc/{engine}").exists()
    assert (set(records(output)), error_kinds(output)) == (names(16), {})


def test_an_engine_that_is_slow_is_left_alone(tmp_path: Path) -> None:
    """Every answer takes longer than the engine may be silent."""
    plan, output = small_plan(tmp_path, 1), tmp_path / "out"
    said = succeed(scripted(plan, output, "--stall-seconds", "1.5", delay=4))
    assert set(records(output)) == names(1)
    assert "another one" not in said


def test_a_rank_that_always_dies_is_given_up_with_a_clear_report(tmp_path: Path) -> None:
    plan, output = small_plan(tmp_path, 4), tmp_path / "out"
    every = '["set/0","set/1","set/2","set/3"]'
    done = run(scripted(plan, output, "--max-deaths", "2", crash_on=every))
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith(
        "error: rank 0: given up: 2 workers died without settling a sample between them "
        "(2 times it was killed by SIGKILL (out of memory?))."
    )
    assert "Traceback" not in done.stdout
    succeed(scripted(plan, output))
    assert (set(records(output)), error_kinds(output)) == (names(4), {})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_stops_the_rank_and_after_room_is_made_the_same_command_completes(
    tmp_path: Path, small_disk: Path
) -> None:
    plan, output = small_plan(tmp_path, 60), small_disk / "out"
    command = scripted(plan, output)
    full = run(command)
    assert full.returncode == 1, full.stdout
    errors = [line for line in full.stdout.splitlines() if "error: " in line]
    assert len(errors) == 1
    assert re.search(r"(result file|journal) .*: cannot be written: No space left on device", errors[0])
    assert "Traceback" not in full.stdout
    assert "another one" not in full.stdout
    before = records(output)
    assert 0 < len(before) < 60

    assert run(command).returncode == 1  # still full
    assert records(output).items() >= before.items()

    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    succeed(command)
    after = records(output)
    assert set(after) == names(60)
    assert after.items() >= before.items()
    assert error_kinds(output) == {}
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))
