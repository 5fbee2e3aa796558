"""The benchmark of decoding rates, over few pictures and against itself."""

from pathlib import Path

import pytest

from benchmarks.decoding_rate import main


def test_each_picture_is_timed_by_each_number_of_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--work", str(tmp_path), "--rounds", "1", "--threads", "2", "--share", "0.05"]) == 0
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[1] for row in rows] == ["2"] * 4
    assert all(float(cell) > 0 for row in rows for cell in row.strip("| ").split(" | ")[1:])
