import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner import verify
from MetaCaptioner.errors import ResultError
from MetaCaptioner.monitor import mending
from MetaCaptioner.monitor.mending import ASIDE, Mended, mend, ranks_by_captions, ranks_by_plan
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import Record
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils import atomic_io, locks
from tests.helpers import Runner, plan_row, records, small_plan, write_lines
from tests.made_records import caption_record, failed

FAILED = failed(caption_record(1), "engine_error")
RANK0 = [caption_record(0), FAILED, caption_record(0, caption="twice"), caption_record(2)]
RANK1 = [caption_record(1, caption="of rank 1"), caption_record(3), caption_record(1), FAILED]


def doubled(folder: Path) -> tuple[Path, Path]:
    """Samples 0 to 3 of which two have several records, a line that is none, and a torn one."""
    one = write_lines(folder / "Rank0_node0_photos.jsonl", RANK0)
    one.write_bytes(one.read_bytes() + b"no \xff record\n" + json.dumps(RANK1[1]).encode()[:-9])
    return one, write_lines(folder / "Rank1_node3_photos~1.jsonl", RANK1)


def aside(folder: Path) -> list[Record]:
    place = folder / ASIDE
    return [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


def test_one_record_a_sample_stays_and_the_rest_is_kept_beside(tmp_path: Path) -> None:
    one, two = doubled(tmp_path)
    before = {path: path.read_bytes().splitlines(keepends=True) for path in (one, two)}
    assert mend(tmp_path) == Mended(repeated=4, broken=2)
    assert one.read_bytes() == before[one][0] + before[one][3]
    assert two.read_bytes() == before[two][0] + before[two][1]
    moved = [(told["file"], told["line"], told["why"]) for told in aside(tmp_path)]
    assert moved == [
        (one.name, 2, "another record of the sample counts"),
        (one.name, 3, "another record of the sample counts"),
        (one.name, 5, "no record"),
        (one.name, 6, "unfinished"),
        (two.name, 3, "another record of the sample counts"),
        (two.name, 4, "another record of the sample counts"),
    ]
    for told in aside(tmp_path):
        assert told["text"].encode("utf-8", "surrogateescape") == before[tmp_path / told["file"]][told["line"] - 1]
    assert [path.name for path, _ in result_files(tmp_path)] == [one.name, two.name]
    assert mend(tmp_path) == Mended()
    assert len(aside(tmp_path)) == 6


def test_of_equals_that_of_the_rank_which_looks_for_it_stays(tmp_path: Path) -> None:
    first, own, other = (caption_record(0, caption=caption) for caption in ("first", "own", "of rank 9"))
    write_lines(tmp_path / "Rank10_node0_photos.jsonl", [first, first])
    path = write_lines(tmp_path / "Rank2_node0_photos.jsonl", [failed(own, "bad_route"), own, own])
    write_lines(tmp_path / "Rank9_node0_photos.jsonl", [other])
    assert mend(tmp_path, lambda row: 2) == Mended(repeated=5)
    assert records(tmp_path) == {"photos/0": own}
    write_lines(path, [failed(own, "bad_route")])
    write_lines(tmp_path / "Rank9_node0_photos.jsonl", [other])
    assert mend(tmp_path, lambda row: 2) == Mended(repeated=1, elsewhere=1)
    assert records(tmp_path) == {"photos/0": other}


def test_the_rank_of_a_sample_is_that_which_has_taken_it_over(tmp_path: Path) -> None:
    rows = [
        PlanRow(**plan_row(tmp_path / "photos.json", tmp_path, 0, 4, 0)),
        PlanRow(**plan_row(tmp_path / "photos.json", tmp_path, 4, 6, 1)),
    ]
    leases = Leases(tmp_path, rows)
    leases.agree_on(2)
    assert leases.lease(leases.chunk(0, 1).given_to(1))
    rank_of = ranks_by_plan(tmp_path, rows)
    assert [rank_of(("photos", row)) for row in (0, 1, 2, 3, 4, 6)] == [0, 0, 1, 1, 1, -1]
    assert rank_of(("others", 0)) == -1
    doubled(tmp_path)
    by_captions = ranks_by_captions(tmp_path)
    assert [by_captions(("photos", row)) for row in (0, 2, 3, 4)] == [0, 0, 1, -1]


def test_a_sound_folder_is_left_alone(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "Rank0_node0_photos.jsonl", [caption_record(0), failed(caption_record(1), "bad_row")])
    before = path.stat()
    assert mend(tmp_path) == Mended()
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert not (tmp_path / ASIDE).exists()


@pytest.mark.parametrize("moment", range(12))
def test_a_crash_at_any_moment_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    one, two = doubled(tmp_path)
    lines = {line for path in (one, two) for line in path.read_bytes().splitlines(keepends=True)}
    calls = 0

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def crash_or(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == moment:
                raise KeyboardInterrupt
            return call(*arguments, **named)

        return crash_or

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", counted(os.fsync))
        patched.setattr(atomic_io, "put_in_place", counted(atomic_io.put_in_place))
        patched.setattr(mending, "_set_aside", counted(mending._set_aside))
        try:
            mend(tmp_path)
        except KeyboardInterrupt:
            there = {line for path in (one, two) for line in path.read_bytes().splitlines(keepends=True)}
            beside = (told["text"].encode("utf-8", "surrogateescape") for told in aside(tmp_path))
            assert there.union(beside) == lines
    mend(tmp_path)
    found = records(tmp_path)
    assert set(found) == {f"photos/{number}" for number in range(4)}
    assert {record["status"] for record in found.values()} == {"ok"}
    assert found["photos/1"]["caption"] == "of rank 1"
    assert lines == {line for path in (one, two) for line in path.read_bytes().splitlines(keepends=True)} | {
        told["text"].encode("utf-8", "surrogateescape") for told in aside(tmp_path)
    }


@pytest.mark.parametrize("parts", [1, 2])
def test_a_rank_at_work_is_not_mended(tmp_path: Path, parts: int) -> None:
    one, two = doubled(tmp_path)
    before = one.read_bytes(), two.read_bytes()
    with (
        RankResults(tmp_path, 1, 0, parts - 1, parts),
        pytest.raises(ResultError, match=r"1 ranks are at work there \(such as rank 1\)"),
    ):
        mend(tmp_path)
    assert (one.read_bytes(), two.read_bytes()) == before


def test_where_no_locks_tell_of_ranks_at_work_the_user_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubled(tmp_path)

    def no_locks(*_: object) -> int:
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(locks, "_ask", no_locks)
    with pytest.raises(locks.NoLocks, match="--single-launch"):
        mend(tmp_path)
    assert mend(tmp_path, single_launch=True) == Mended(4, 2)


def test_a_formatted_file_is_not_torn_apart(tmp_path: Path) -> None:
    doubled(tmp_path)
    path = tmp_path / "Rank2_node0_photos.jsonl"
    path.write_text(json.dumps(caption_record(7), indent=2) + "\n")
    with pytest.raises(ResultError, match="was it formatted"):
        mend(tmp_path)
    assert not (tmp_path / ASIDE).exists()


def test_verify_mends_a_doubled_run_and_the_same_command_goes_on(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    assert run.caption(plan, out).status == 0
    path = out / "Rank0_node0_set.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], *lines, b"broken\n"]))
    refused = run.caption(plan, out, engine_opens=False)
    assert refused.status == 1
    assert f"error: rank 0: result file {path}, line 8: is no record" in refused.said
    assert run.score(out, engine_opens=False).status == 1
    checked = ("--plan", plan, "--data-folder", out)
    assert run.main(verify.main, *checked).status == 1
    mended = run.main(verify.main, *checked, "--mend")
    assert mended.status == 0
    assert "3 further records of samples that have another one, 1 lines that are no records" in mended.said
    assert "complete: 4 samples expected, 4 ok" in mended.said
    assert run.caption(plan, out, engine_opens=False).status == 0
    assert run.score(out).status == 0
    assert len(records(out / "score")) == 4
