"""Rounds of kill -9 at random moments against supervisors, workers and engines.

A round goes on until the run has ended well; its number seeds it. `CHAOS_ROUNDS=100` asks for a hundred with the
scripted engine, `LONG=1 CHAOS_VLLM_ROUNDS=5` for five with real vLLM.
"""

import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.processes import Part, Run, stage, wait_until_gone
from tests.helpers import all_records, error_kinds, names, records, small_plan

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "2"))
VLLM_ROUNDS = int(os.environ.get("CHAOS_VLLM_ROUNDS", "1"))
SAMPLES = 60


@dataclass
class Requests:
    """What the engine was asked, by the log of the scripted engine."""

    log: Path
    finished: list[tuple[set[str], int]] = field(default_factory=list)

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def note_finished(self, output: Path) -> None:
        """No sample that has its record by now may be asked about from here on."""
        done = finished_samples(output)
        self.finished.append((done, len(self.lines())))

    def check(self) -> None:
        asked = [line.rsplit("/", 2)[0] for line in self.lines()]
        for done, so_far in self.finished:
            again = Counter(asked[so_far:]).keys() & done
            assert not again, f"finished, yet sent again: {sorted(again)}"


def finished_samples(output: Path) -> set[str]:
    """The samples that have a whole record just now."""
    whole = [
        line
        for path in output.glob("Rank*_node*_*.jsonl")
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]
    return {json.loads(line)["sample_id"] for line in whole}


@dataclass
class Round:
    """One command, run and killed and run again until it has ended well."""

    command: list[str | Path]
    output: Path
    log: Path
    dice: random.Random
    longest_wait: float
    """Seconds; about what it takes to load."""
    requests: Requests | None = None
    kills: Counter[Part] = field(default_factory=Counter)
    starts: int = 0

    def play(self, kills: int) -> None:
        run = self._start()
        while run.process.poll() != 0:
            if run.process.returncode is not None:
                # Only a death while the model was first loaded, or too many in a row, end the supervisor's patience.
                assert run.process.returncode == 1, self.log.read_text()
                run = self._start()
            if sum(self.kills.values()) == kills:
                run.process.wait()
                continue
            self._wait_for_a_moment(run)
            part = self.dice.choice(("supervisor", "worker", "engine", "engine"))
            if self.requests is not None:
                self.requests.note_finished(self.output)
            if run.process.poll() is None and run.kill(part):
                self.kills[part] += 1
                if part == "supervisor":
                    wait_until_gone(run)
                    run = self._start()
        wait_until_gone(run)

    def _wait_for_a_moment(self, run: Run) -> None:
        """Some time, which is likely to end while something is being loaded, or some records, while there is work."""
        moment = time.monotonic() + self.dice.uniform(0.05, self.longest_wait)
        by_records = self.dice.random() < 0.5
        enough = len(finished_samples(self.output)) + self.dice.randint(1, 6)
        while run.process.poll() is None:
            if len(finished_samples(self.output)) >= enough if by_records else time.monotonic() > moment:
                return
            time.sleep(0.02)

    def _start(self) -> Run:
        self.starts += 1
        assert self.starts < 20, self.log.read_text()
        return Run(self.command, self.log)

    def check(self, samples: int) -> None:
        """Every sample has one record. Only who was alone when a third kill came may have been taken for the killer."""
        assert set(records(self.output)) == names(samples)
        blamed = error_kinds(self.output)
        print(f"kills: {dict(self.kills)}, {self.starts} starts, blamed: {sorted(blamed)}")
        assert set(blamed.values()) <= {"engine_crash"}
        assert not blamed or self.kills["worker"] + self.kills["engine"] >= 3
        assert not list(self.output.glob(".*.journal"))
        if blamed:
            assert Run([*self.command, "--retry-errors"], self.log).process.wait() == 0
            assert (set(records(self.output)), error_kinds(self.output)) == (names(samples), {})


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_kill_9_at_random_moments(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    plan, output, asked = small_plan(tmp_path, SAMPLES), tmp_path / "out", tmp_path / "asked"
    command = stage(
        *("captionpipeline", "--plan", plan, "--output-dir", output, "--model", "none", "--engine", "scripted"),
        *("--in-flight", str(dice.choice((1, 4, 16))), "--decode-threads", "2", "--engine-arg", "process=true"),
        *("--engine-arg", f"delay={dice.choice((0.05, 0.1, 0.2))}", "--engine-arg", f"log={asked}"),
    )
    played = Round(command, output, tmp_path / "log", dice, longest_wait=7.0, requests=Requests(asked))
    played.play(kills=dice.randint(2, 6))
    assert played.requests is not None
    played.requests.check()
    played.check(SAMPLES)


@pytest.mark.engine
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(VLLM_ROUNDS))
def test_kill_9_at_random_moments_on_real_vllm(tmp_path: Path, random_model: Path, seed: int) -> None:
    dice = random.Random(1000 + seed)
    plan, output = small_plan(tmp_path, SAMPLES), tmp_path / "out"
    command = stage(
        *("captionpipeline", "--plan", plan, "--output-dir", output, "--model", random_model),
        *("--in-flight", "6", "--max-output-tokens", "48", "--max-model-len", "4096"),
    )
    played = Round(command, output, tmp_path / "log", dice, longest_wait=40.0)
    played.play(kills=3)
    played.check(SAMPLES)


def test_the_rounds_can_fail(tmp_path: Path) -> None:
    """A sample that is sent again after its record was written is found."""
    output, asked = tmp_path / "out", Requests(tmp_path / "asked")
    output.mkdir()
    (output / "Rank0_node0_set.jsonl").write_text('{"sample_id": "set/0"}\n{"sample_id": "set/1"')
    asked.log.write_text("set/0/objects/0.1\n")
    asked.note_finished(output)
    asked.log.write_text("set/0/objects/0.1\nset/1/objects/0.1\n")
    asked.check()
    asked.log.write_text("set/0/objects/0.1\nset/0/objects/0.1\n")
    with pytest.raises(AssertionError, match="sent again: \\['set/0'\\]"):
        asked.check()
    assert len(all_records(tmp_path / "none")) == 0
