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
    turns = [
        Turn(engine, seconds, {"rank": seconds / 2, "server": 0.0, "engine": 1.5 * seconds}, 100, requests=800)
        for engine, seconds in times
    ]
    assert report("demo", turns) == pytest.approx(0.2)
    said = plain(capsys.readouterr().err).splitlines()
    assert "| demo | vllm | 100 | 10.00 | 20.00 | 25.0 | 6.2 | 0.0 | 18.8 |" in said
    assert "| demo | openai | 100 | 12.00 | 24.00 | 30.0 | 7.5 | 0.0 | 22.5 |" in said
    shares = "+20.0% of the time, +20.0% of the CPU time"
    costs = "5.0 ms of a processor a request: within 10% where a request costs 50 ms"
    assert said[-1] == f"demo: overhead of the server: {shares}, {costs}"


def test_the_pictures_are_all_different(tmp_path: Path) -> None:
    rows, problems = read_plan(make_pictures(tmp_path, 6))
    assert not problems
    assert [(row.start_idx, row.end_idx) for row in rows] == [(0, 6)]
    made = json.loads((tmp_path / "set.json").read_text())
    assert len({Image.open(tmp_path / "media" / row["image"]).tobytes() for row in made}) == 6
