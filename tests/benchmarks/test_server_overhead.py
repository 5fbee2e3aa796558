"""The benchmark of servers: its sums, and its pictures."""

import json
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.server_overhead import Turn, make_pictures, report
from MetaCaptioner.planning.plan_file import read_plan
from tests.helpers import plain


def test_the_overhead_is_the_median_of_the_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever of the two came first in a round."""
    times = [("vllm", 10.0), ("openai", 11.0), ("openai", 12.0), ("vllm", 10.0), ("vllm", 20.0), ("openai", 26.0)]
    turns = [Turn(engine, seconds, 2 * seconds, 100) for engine, seconds in times]
    assert report(turns, 200) == pytest.approx(0.2)
    said = plain(capsys.readouterr().err).splitlines()
    assert "| vllm | 10.00 | 20.00 | 72,000 |" in said
    assert "| openai | 12.00 | 24.00 | 60,000 |" in said
    assert said[-1].startswith("overhead of the server: +20.0% of the time, +20.0% of the CPU time")


def test_the_pictures_are_all_different(tmp_path: Path) -> None:
    rows, problems = read_plan(make_pictures(tmp_path, 6))
    assert not problems
    assert [(row.start_idx, row.end_idx) for row in rows] == [(0, 6)]
    made = json.loads((tmp_path / "set.json").read_text())
    assert len({Image.open(tmp_path / "media" / row["image"]).tobytes() for row in made}) == 6
