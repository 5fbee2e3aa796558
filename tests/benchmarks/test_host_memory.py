import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import host_memory
from benchmarks.host_memory import Measured, grown, main, memory_now, runs, table
from MetaCaptioner.errors import BadArguments, UserError
from tests.pipeline.commands import sample_ids

MIB = 2**20


def measured(case: str, samples: int, peak: float) -> Measured:
    return Measured(case, samples, int(peak * MIB), 2.0, 10.0)


def test_two_short_shards_through_real_ranks(tmp_path: Path) -> None:
    found = [one for samples in (600, 1800) for one in runs(samples, ".json", tmp_path / str(samples))]
    assert [(one.case, one.samples) for one in found] == [
        (case, samples) for samples in (600, 1800) for case in ("caption .json", "caption .json, resumed")
    ]
    for one in found:
        assert 20 * MIB < one.peak < 4000 * MIB
        assert 0 < one.first_record_seconds <= one.seconds
    assert grown(found) == []
    for samples in (600, 1800):
        assert len(sample_ids(tmp_path / str(samples) / "Caption")) == samples


def test_what_a_process_started_counts_as_well() -> None:
    child = "held = bytearray(200 * 2**20); print(flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", parent], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        assert 200 * MIB < memory_now(process.pid) < 300 * MIB
        process.communicate("\n")
    assert memory_now(process.pid) == 0


def test_growth_above_a_tenth_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    peaks = {10: 300.0, 20: 200.0, 100: 331.0}

    def pretended(samples: int, suffix: str, folder: Path) -> list[Measured]:
        return [measured("caption .jsonl", samples, peaks[samples]), measured("caption .json", samples, 300)]

    monkeypatch.setattr(host_memory, "runs", pretended)
    assert main(["--samples", "100", "10", "20"]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1].endswith("by more than 10%: caption .jsonl")
    assert "| caption .jsonl | 100 | 331.0 | +10.3% | 2.00 | 10 |" in said


def test_the_longest_shard_is_held_against_the_shortest() -> None:
    assert grown([measured("a", 10, 300), measured("a", 100, 329)]) == []
    assert grown([measured("a", 100, 331), measured("a", 10, 300)]) == ["a"]
    assert table([measured("a", 100, 330), measured("a", 10, 300)]).splitlines()[2].startswith("| a | 10 |")


def test_a_stage_that_fails_is_told(tmp_path: Path) -> None:
    plan, out = tmp_path / "none.jsonl", tmp_path / "out"
    with pytest.raises(UserError, match=r"captionpipeline ended with status 1:\n.*cannot be read"):
        host_memory.measure("a", 1, out, "captionpipeline", "--plan", plan, "--output-dir", out)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="there is no such folder"):
        main(["--work", str(tmp_path / "none")])
