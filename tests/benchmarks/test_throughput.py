"""The whole benchmark in small, on real vLLM; and its table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.throughput import COLUMNS, ROWS, Result, main, table
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.records.reader import read_records, result_files
from tests.random_model import ROOT

GPU_ONLY = {"gpu_busy", "gpu_watts", "gpu_megahertz", "share_of_peak"}


def result(column: str, rate: float) -> Result:
    return Result(column, None, 10, 36000 / rate, rate, 1.0, 2.0, 0.5, None, None, None, None, 1.0, 2.0)


def test_the_table_compares_with_the_baseline_and_the_better_limit() -> None:
    told = table(
        [result("staged", 1000), result("pipeline", 4500), result("at_once", 4800), result("preprocessed", 5000)]
    )
    assert told.splitlines()[0] == "| | staged | pipeline | at_once | preprocessed |"
    assert "| samples an hour | 1,000 | 4,500 | 4,800 | 5,000 |" in told
    assert "| GPU busy | – | – | – | – |" in told
    assert "pipeline / staged: 4.50" in told
    assert "pipeline / engine's limit: 0.900" in told


def test_a_column_that_is_unknown_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadArguments, match="no column 'fast'"):
        main(["--tiny", "--work", str(tmp_path), "--columns", "fast"])


@pytest.mark.engine
def test_all_columns_are_filled_and_agree(tmp_path: Path) -> None:
    written = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.throughput", "--tiny", "--staged-items", "4"]
    command += ["--columns", *COLUMNS[:1], "pipeline@3", *COLUMNS[2:]]
    done = subprocess.run(
        [*command, "--work", str(tmp_path), "--write", str(written)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(f"| {label} |" in done.stdout for label, _ in ROWS.values())
    [report] = json.loads(written.read_text())
    results = {found["column"]: Result(**found) for found in report["results"]}
    assert list(results) == ["staged", "pipeline@3", "at_once", "preprocessed"]
    for name, found in results.items():
        assert found.items == (4 if name == "staged" else 8)
        assert found.items_per_hour == pytest.approx(3600 * found.items / found.seconds)
        assert found.total_tokens_per_second > found.output_tokens_per_second > 0
        for field in set(ROWS) - GPU_ONLY - {"in_flight"}:
            value = getattr(found, field)
            assert value is not None
            assert value > 0 or field == "prefix_cache_hits"
    tokens = {name: found.output_tokens_per_second * found.seconds for name, found in results.items()}
    # Every column writes what the workload drew: the same, whatever the order.
    assert tokens["pipeline@3"] == pytest.approx(tokens["at_once"]) == pytest.approx(tokens["preprocessed"])
    # Agents that share the prompt up to the media find it in the cache; with the role before the media they cannot.
    assert results["pipeline@3"].prefix_cache_hits > results["staged"].prefix_cache_hits
    made = [record for path, _ in result_files(tmp_path / "results" / "pipeline") for record in read_records(path)]
    assert len({record["sample_id"] for record in made}) == len(made) == 8
    assert all(record["status"] == "ok" for record in made)
