"""The benchmark of decoding rates, over few pictures and against itself."""

import re
from pathlib import Path

import pytest

from benchmarks.decoding_rate import main


def test_each_picture_is_timed_by_each_number_of_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--work", str(tmp_path), "--rounds", "1", "--turns", "1", "--threads", "2", "--share", "0"]) == 0
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[1] for row in rows] == ["2"] * 4
    for row in rows:
        numbers = [float(number) for number in re.findall(r"\d+\.\d+", row.partition(" | 2 | ")[2])]
        assert len(numbers) == 10
        assert all(number > 0 for number in numbers)
        for rate, low, high in (numbers[2:5], numbers[7:]):
            assert low <= rate <= high
