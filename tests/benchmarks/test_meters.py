"""What the benchmarks' meter tells of a stretch of work."""

import time
from pathlib import Path

import pytest

from benchmarks import meters
from benchmarks.meters import Meter


def pretend_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> None:
    """A program in the place of the driver's own that says something every twentieth of a second."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nwhile true; do {says}; sleep 0.05; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_memory_and_processor_time_are_those_of_the_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meters, "_SECONDS_BETWEEN_LOOKS", 0.02)
    with Meter() as idle:
        time.sleep(0.3)
    with Meter() as busy:
        held = bytearray(256 * 2**20)
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            held[0] = 1
    assert busy.memory - idle.memory == pytest.approx(0.25, abs=0.05)
    assert busy.cores > 2 * idle.cores
    assert busy.seconds >= 0.3
    assert idle.gpu_busy is None


def test_of_the_gpu_comes_the_mean_of_what_the_driver_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpu(tmp_path, monkeypatch, r"printf '40, 600.5, 1980\n60, [N/A], 1000\n'")
    with Meter() as meter:
        time.sleep(0.4)
    assert meter.gpu_busy == pytest.approx(0.5)
    assert meter.gpu_watts == pytest.approx(600.5)
    assert meter.gpu_megahertz == pytest.approx(1490)


@pytest.mark.parametrize("says", ["echo '[N/A], [N/A], [N/A]'", "echo 'No devices were found'"])
def test_a_driver_that_says_nothing_of_use_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    pretend_gpu(tmp_path, monkeypatch, says)
    with Meter() as meter:
        time.sleep(0.2)
    assert meter.gpu_busy is meter.gpu_watts is meter.gpu_megahertz is None
