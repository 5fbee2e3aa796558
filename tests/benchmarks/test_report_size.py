from pathlib import Path

from benchmarks.report_size import benchmark


def test_both_pages_are_measured(tmp_path: Path) -> None:
    one, two = benchmark(records=60, pictures=3, folder=tmp_path)
    assert (one.name, two.name) == ("one run", "two runs")
    for measured in (one, two):
        assert measured.seconds > 0
        assert 300_000 < measured.page < 30_000_000
    assert (tmp_path / "two.html").stat().st_size == two.page
