from pathlib import Path

import pytest

from benchmarks.status_scale import main


def test_a_small_measurement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every look must come to what was written, else it raises."""
    work = tmp_path / "work"
    assert main(["--work", str(work), "--records", "3000", "--datasets", "3", "--ranks", "4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2,400 records of ")
    assert said.count("| 1 s |") == 3
    assert said.count("| 10 s |") == 5
    assert not work.exists()
