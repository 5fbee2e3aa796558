"""Which samples have a record."""

import json
import os
from pathlib import Path

import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.done import DoneSamples, recorded_rows


def test_the_rows_that_a_rank_has_begun_are_read_on_and_each_byte_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, count: int, offset: int) -> bytes:
        data = pread(descriptor, count, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    path = tmp_path / "Rank0_node0_set.jsonl"
    begun = DoneSamples()
    assert begun.read(tmp_path, 0).count("set", 0, 9000) == 0
    lines = [json.dumps({"sample_id": f"set/{n}", "data_name": "set", "index": n, "status": "ok"}) for n in range(5000)]
    path.write_text("".join(f"{line}\n" for line in lines[:-1]))
    assert begun.read(tmp_path, 0).count("set", 0, 9000) == 4999
    read.clear()
    begun.read(tmp_path, 0)
    assert read == []
    with path.open("a") as file:
        file.write(f"{lines[-1]}\n{lines[-1][:10]}")
    done = begun.read(tmp_path, 0)
    assert (done.count("set", 0, 9000), done.has("set", 4999)) == (5000, True)
    assert sum(read) < 20_000  # what is new, and what the file is known again by


def test_a_rank_with_a_line_that_is_no_record_has_not_begun_nothing(tmp_path: Path) -> None:
    (tmp_path / "Rank0_node0_set.jsonl").write_text("no record\n")
    with pytest.raises(ResultError, match="line 1: is no record"):
        DoneSamples().read(tmp_path, 0)
    with pytest.raises(ResultError, match="line 1: is no record"):
        list(recorded_rows(tmp_path, 0, only_ok=False))
