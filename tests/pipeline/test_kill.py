"""Killed at any moment and started again: every sample ends with exactly one record, and none is paid for twice."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from MetaCaptioner.metrics.usage import runs_of
from MetaCaptioner.records.published_counts import published_counts
from tests.pipeline.commands import environment, module, records, run, sample_ids, script, succeed, write_json
from tests.records.test_published_counts import counted, with_published

SAMPLES = 40


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    media = folder / "media"
    media.mkdir()
    photograph = Image.fromarray(data.astronaut())
    rows = []
    for number in range(SAMPLES):
        photograph.crop((number, number, number + 224, number + 224)).save(media / f"{number}.png")
        rows.append({"id": number, "image": f"{number}.png"})
    write_json(folder / "crops.json", rows)
    metafile = write_json(
        folder / "Metafile.json", {"crops": {"root": "media", "annotation": "crops.json", "task": "Natural"}}
    )
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "1", "--output", folder / "plan.jsonl"))
    return folder / "plan.jsonl"


@pytest.fixture
def plan(tmp_path: Path, planned: Path) -> Path:
    """A plan of 40 crops of a photograph, for one rank."""
    return Path(shutil.copy(planned, tmp_path))


def lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("Rank*.jsonl"))


def wait_until(condition: Callable[[], object], what: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert process.poll() is None, f"the run ended before {what}"
        assert time.monotonic() < deadline, f"there was no {what}"
        time.sleep(0.01)


def wait_for_lines(folder: Path, count: int, process: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: lines(folder) >= count, f"{count} records", process)


def start(command: list[str | Path], log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as out:
        return subprocess.Popen(
            [str(part) for part in command], env=environment(), stdout=out, stderr=out, start_new_session=True
        )


def children(pid: int) -> list[int]:
    """All descendants of a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            if parent == pid:
                found += [int(entry.name), *children(int(entry.name))]
    return found


def wait_until_gone(pids: list[int], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, f"processes outlive the rank: {alive}"
        time.sleep(0.2)


@pytest.mark.engine
def test_kill_9_in_mid_run_on_real_vllm(tmp_path: Path, plan: Path, random_model: Path) -> None:
    output = tmp_path / "Caption"
    command = module("captionpipeline", "--plan", plan, "--output-dir", output, "--model", random_model,
                     "--max-output-tokens", "24", "--in-flight", "4")  # fmt: skip
    first = start(command, tmp_path / "first.log")
    wait_for_lines(output, 5, first)
    engine_processes = children(first.pid)
    assert engine_processes
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    wait_until_gone(engine_processes)
    before = {record["sample_id"]: record for record in records(output)}
    assert 5 <= len(before) < SAMPLES
    assert run(script("verify", "--plan", plan, "--data-folder", output)).returncode == 1

    log = succeed(command)
    assert f"{len(before)} of {SAMPLES} samples are done, {SAMPLES - len(before)} to do" in log
    assert f"{SAMPLES - len(before)} samples: {SAMPLES - len(before)} ok" in log
    after = {record["sample_id"]: record for record in records(output)}
    assert {name: after[name] for name in before} == before
    assert sample_ids(output) == sorted(f"crops/{number}" for number in range(SAMPLES))
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", output))
    killed, second = runs_of([output])
    assert (killed.state, second.state, second.images) == ("working", "done", SAMPLES - len(before))
    rest = [record for name, record in after.items() if name not in before]
    assert second.input_tokens == sum(record["input_tokens"] for record in rest) > 0
    assert all(0 < record["engine_seconds"] <= record["seconds"] for record in rest)


def scripted(plan: Path, output: Path, *arguments: str) -> list[str | Path]:
    return module("captionpipeline", "--plan", plan, "--output-dir", output, "--model", "none", "--engine", "scripted",
                  *arguments)  # fmt: skip


@pytest.mark.parametrize("after", [0, 1, 7, 19])
def test_kill_9_at_many_moments_with_the_scripted_engine(tmp_path: Path, plan: Path, after: int) -> None:
    output = tmp_path / "Caption"
    command = scripted(plan, output, "--engine-arg", "delay=0.05", "--in-flight", "3")
    process = start(command, tmp_path / "log")
    if after:
        wait_for_lines(output, after, process)
    else:
        time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert with_published(output) == counted(output)
    succeed(command)
    assert with_published(output) == counted(output)
    assert len(published_counts(output)) == 1
    assert sample_ids(output) == sorted(f"crops/{number}" for number in range(SAMPLES))


def test_a_killed_run_leaves_its_account(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "Caption"
    command = scripted(plan, output, "--engine-arg", "delay=0.05", "--in-flight", "3")
    process = start(command, tmp_path / "log")
    wait_for_lines(output, 5, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(records(output))
    [killed] = runs_of([output])
    assert (killed.state, killed.gpus) == ("working", 0)
    succeed(command)
    assert [(run.state, run.images) for run in runs_of([output])[1:]] == [("done", SAMPLES - done)]
    assert len({run.run for run in runs_of([output])}) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_stops_with_status_3_and_the_same_command_goes_on(
    tmp_path: Path, plan: Path, number: signal.Signals
) -> None:
    output = tmp_path / "Caption"
    command = scripted(plan, output, "--engine-arg", "delay=0.1", "--in-flight", "2")
    process = start(command, tmp_path / "log")
    wait_for_lines(output, 3, process)
    os.kill(process.pid, number)
    assert process.wait(timeout=60) == 3
    log = (tmp_path / "log").read_text()
    assert f"rank 0: {number.name}: what is in flight is finished, for up to 20 s; Ctrl-C then ends it at once\n" in log
    assert f"stopped by {number.name}; run the same command again to go on" in log
    assert "Traceback" not in log
    stopped_at = len(records(output))
    assert 3 <= stopped_at < SAMPLES
    assert f"{stopped_at} of {SAMPLES} samples are done" in succeed(command)
    assert sample_ids(output) == sorted(f"crops/{number}" for number in range(SAMPLES))


def test_a_second_ctrl_c_ends_what_the_first_waits_for(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "Caption"
    requests = tmp_path / "requests"
    slow = ("--engine-arg", "delay=60", "--engine-arg", f"log={requests}", "--grace-seconds", "300")
    process = start(scripted(plan, output, *slow), tmp_path / "log")
    wait_until(requests.exists, "request", process)
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "for up to 300 s" in (tmp_path / "log").read_text(), "answer", process)
    time.sleep(2.1)  # one right after the first is the same
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 3
    assert "stopped by SIGINT; run the same command again to go on" in (tmp_path / "log").read_text()


def test_two_processes_on_one_rank_are_refused(tmp_path: Path, plan: Path) -> None:
    output = tmp_path / "Caption"
    command = scripted(plan, output, "--engine-arg", "delay=0.3", "--in-flight", "1")
    first = start(command, tmp_path / "log")
    wait_for_lines(output, 1, first)
    second = run(command)
    assert second.returncode == 1
    assert "rank 0 is being worked on by another process" in second.stdout
    os.kill(first.pid, signal.SIGKILL)
    first.wait()


def test_a_full_disk_stops_the_rank_and_the_same_command_completes_later(tmp_path: Path, plan: Path) -> None:
    """A file size limit is a full disk to the writer: the write fails in the middle of a line."""
    output = tmp_path / "Caption"
    command = scripted(plan, output)
    limited = ["bash", "-c", 'ulimit -f 16; trap "" XFSZ; exec "$@"', "limited", *command]
    full = run(limited)
    assert full.returncode == 1
    assert "cannot be written" in full.stdout
    assert "Traceback" not in full.stdout
    kept = {record["sample_id"]: record for record in records(output)}
    assert 0 < len(kept) < SAMPLES
    [path] = output.glob("Rank*.jsonl")
    assert path.read_bytes().endswith(b"}\n")
    succeed(command)
    after = {record["sample_id"]: record for record in records(output)}
    assert len(after) == SAMPLES == len(records(output))
    assert {name: after[name] for name in kept} == kept
