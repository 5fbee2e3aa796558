"""Files counted again and again must come to what one count of all comes to."""

import os
from pathlib import Path

import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records import counts
from MetaCaptioner.records.counts import CountedFile, RecordCounts
from tests.records.test_scan import failed_record, line, ok_record, parsed, random_records, result_file, samples


def samples_of(file: CountedFile) -> list[tuple[str, int, str]]:
    return samples(file.pieces(), file.kinds)


def test_a_torn_line_that_is_cut_off_and_redone_goes_on_or_is_read_anew(tmp_path: Path) -> None:
    whole = b"".join(line(ok_record("set", index)) for index in range(5))
    path = tmp_path / "Rank0_node0_set.jsonl"
    path.write_bytes(whole + line(ok_record("set", 5))[:30])
    counted = RecordCounts(tmp_path)
    counted.look()
    os.truncate(path, len(whole))
    counted.look()
    with path.open("ab") as file:
        file.write(line(failed_record("set", 5)))
    counted.look()
    assert samples_of(counted.files[path]) == parsed(path.read_bytes())


def test_files_that_come_and_go(tmp_path: Path) -> None:
    counted = RecordCounts(tmp_path / "results")
    assert counted.look() == []
    (tmp_path / "results").mkdir()
    first = result_file(tmp_path / "results", ok_record("set", 0), failed_record("set", 1, "a"))
    assert [(change.file.rank, change.anew) for change in counted.look()] == [(0, False)]
    result_file(tmp_path / "results", failed_record("set", 2, "b"), rank=1)
    assert [(change.file.rank, change.anew) for change in counted.look()] == [(1, False)]
    assert counted.look() == []
    assert counted.kinds.names() == ["a", "b"]
    first.unlink()
    assert [(change.file.rank, change.anew, change.pieces) for change in counted.look()] == [(0, True, [])]
    assert [file.name.rank for file in counted.files.values()] == [1]


def test_many_small_steps_are_joined(tmp_path: Path) -> None:
    counted, path = RecordCounts(tmp_path), tmp_path / "Rank0_node0_set.jsonl"
    for index in range(300):
        with path.open("ab") as file:
            file.write(line(ok_record("set", index)))
        counted.look()
    assert [len(ranges) for ranges in counted.files[path].rows.values()] == [1]
    assert samples_of(counted.files[path]) == [("set", index, "ok") for index in range(300)]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "Rank0_node0_set.jsonl").mkdir()
    with pytest.raises(ResultError, match=r"Rank0_node0_set\.jsonl: cannot be read: Is a directory"):
        RecordCounts(tmp_path).look()


def test_several_processes_come_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(3):
        result_file(tmp_path, *random_records(rank, 50), rank=rank)
    monkeypatch.setattr(counts, "_PARALLEL_FROM_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    counted = RecordCounts(tmp_path)
    counted.look()
    for path, file in counted.files.items():
        assert samples_of(file) == parsed(path.read_bytes())
