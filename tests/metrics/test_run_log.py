from pathlib import Path

import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.metrics.run_log import RunLog, read_runs
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.store import RankResults
from tests.helpers import fill_disk


def log(folder: Path, *accounts: Record, rank: int = 0) -> Path:
    run_log = RunLog(folder, rank, 0)
    for account in accounts:
        run_log.append(account)
    run_log.close()
    return folder / "runs" / f"Rank{rank}_node0.jsonl"


def test_the_last_account_of_each_run_counts(tmp_path: Path) -> None:
    log(tmp_path, {"run": "a", "images": 1}, {"run": "a", "images": 2})
    log(tmp_path, {"run": "b", "images": 3})
    log(tmp_path, {"run": "c", "images": 4}, rank=1)
    assert read_runs(tmp_path) == [{"run": "a", "images": 2}, {"run": "b", "images": 3}, {"run": "c", "images": 4}]
    assert read_runs(tmp_path / "absent") == []


def test_a_torn_account_costs_neither_the_one_before_nor_the_next_run(tmp_path: Path) -> None:
    path = log(tmp_path, {"run": "a", "images": 1})
    with path.open("ab") as file:
        file.write(b'{"run": "a", "ima')
    assert read_runs(tmp_path) == [{"run": "a", "images": 1}]
    log(tmp_path, {"run": "b"})
    assert read_runs(tmp_path) == [{"run": "a", "images": 1}, {"run": "b"}]


def test_a_run_log_is_no_result_file(tmp_path: Path) -> None:
    log(tmp_path, {"run": "a", "sample_id": "set/0"})
    assert result_files(tmp_path) == result_files(tmp_path / "runs") == []
    with RankResults(tmp_path, 0, 0) as results:
        assert results.done().count("set", 0, 10) == 0


def test_a_run_log_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(ResultError, match=r"run log .*/runs/Rank0_node0.jsonl: cannot be written: "):
        log(tmp_path)
    (tmp_path / "runs").unlink()
    run_log = RunLog(tmp_path, 0, 0)
    fill_disk(monkeypatch, whole_lines=0)
    with pytest.raises(ResultError, match="cannot be written: No space left on device"):
        run_log.append({"run": "a"})
    assert read_runs(tmp_path) == []
