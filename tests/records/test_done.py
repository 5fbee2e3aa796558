"""Which samples have a record."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records.done import DoneSamples, recorded_rows
from MetaCaptioner.records.scan import OK, Piece


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


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_sample_is_ok_if_any_record_is_and_else_what_the_last_one_says(in_memory: bool) -> None:
    done = DoneSamples(in_memory)
    for rows, endings in (([1, 2, 3, 2], [1, 2, OK, 3]), ([3, 4, 2], [1, OK, 1]), ([1, 1], [OK, 2])):
        done.note(Piece("set", np.array(rows, dtype=np.int32), np.array(endings, dtype=np.uint8)))
    assert done.endings("set", 0, 6).tolist() == [0, OK, 1, OK, OK, 0]
    assert (done.count("set", 0, 6), done.has("set", 2), list(done.without("set", 0, 6))) == (4, True, [0, 5])
