"""Chunks of a plan and the claims to them; and ranks that take over from each other."""

import errno
import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from MetaCaptioner.planning.leases import Chunk, LeaseError, Leases
from MetaCaptioner.planning.plan_file import PlanRow


def row(name: str, start: int, end: int, rank: int) -> PlanRow:
    return PlanRow(
        data_name=name,
        json_url=f"/{name}.json",
        root="/",
        total=1000,
        start_idx=start,
        end_idx=end,
        anno_file_key=f"{name}.json",
        assign_rank=rank,
    )


def claims_of(folder: Path, rows: list[PlanRow], size: int) -> Leases:
    leases = Leases(folder, rows)
    leases.agree_on(size)
    return leases


ROWS = [row("one", 0, 25, 0), row("two", 5, 10, 0), row("two", 10, 22, 1), row("three", 7, 7, 1), row("one", 25, 26, 2)]


def spans(chunk: Chunk) -> list[tuple[str, int, int]]:
    return [(row.data_name, row.start_idx, row.end_idx) for row in chunk.rows]


def test_chunks_are_all_of_a_rank_in_order(tmp_path: Path) -> None:
    leases = claims_of(tmp_path, ROWS, 10)
    assert [spans(chunk) for chunk in leases.chunks(0)] == [
        [("one", 0, 10)],
        [("one", 10, 20)],
        [("one", 20, 25), ("two", 5, 10)],
    ]
    assert [spans(chunk) for chunk in leases.chunks(1)] == [[("two", 10, 20)], [("two", 20, 22)]]
    assert [chunk.samples for chunk in leases.chunks(2)] == [1]
    assert list(leases.chunks(3)) == []


@pytest.mark.parametrize("size", [1, 3, 7, 10, 1000])
def test_chunks_of_any_size_cover_each_sample_once(tmp_path: Path, size: int) -> None:
    leases = claims_of(tmp_path, ROWS, size)
    chunks = [chunk for rank in (0, 1, 2) for chunk in leases.chunks(rank)]
    assert all(0 < chunk.samples <= size for chunk in chunks)
    samples = [(name, n) for chunk in chunks for name, start, end in spans(chunk) for n in range(start, end)]
    assert sorted(samples) == sorted((row.data_name, n) for row in ROWS for n in range(row.start_idx, row.end_idx))


def test_the_first_to_come_decides_on_the_size(tmp_path: Path) -> None:
    assert Leases(tmp_path, ROWS).size == 0
    assert list(Leases(tmp_path, ROWS).unleased()) == Leases(tmp_path, ROWS).taken_over(0) == []
    assert not (tmp_path / "claims").exists()
    assert claims_of(tmp_path, ROWS, 10).size == 10
    assert claims_of(tmp_path, ROWS, 3).size == 10
    assert Leases(tmp_path, ROWS).size == 10
    assert claims_of(tmp_path, ROWS[1:], 3).size == 3  # another plan


def test_a_chunk_is_the_first_one_s_for_good(tmp_path: Path) -> None:
    leases = claims_of(tmp_path, ROWS, 10)
    first = next(leases.chunks(0))
    assert leases.holder(first) is None
    assert leases.lease(first.given_to(2))
    assert not leases.lease(first)
    again = claims_of(tmp_path, ROWS, 10)
    assert again.lease(first.given_to(2))
    assert not again.lease(first.given_to(1))
    assert again.holder(first) == 2
    assert [spans(chunk) for chunk in again.taken_over(2)] == [[("one", 0, 10)]]
    assert [row.assign_rank for chunk in again.taken_over(2) for row in chunk.rows] == [2]
    assert again.taken_over(1) == []
    assert [(chunk.owner, chunk.rank) for chunk in again.moved()] == [(0, 2)]


def test_an_intention_without_a_claim_is_none(tmp_path: Path) -> None:
    """A rank that was killed between the two links, and whose chunk was then claimed by its owner."""
    leases = claims_of(tmp_path, ROWS, 10)
    first = next(leases.chunks(0))
    assert leases.lease(first)
    assert not leases.lease(first.given_to(1))
    assert leases.taken_over(1) == []
    assert list(leases.moved()) == []


def test_what_is_free_is_told_from_the_back_of_the_rank_with_most_of_it(tmp_path: Path) -> None:
    leases = claims_of(tmp_path, ROWS, 10)
    assert [chunk.name for chunk in leases.unleased()] == ["0.2", "0.1", "0.0", "1.1", "1.0", "2.0"]
    for number in (0, 1):
        leases.lease(leases.chunk(0, number))
    assert [chunk.name for chunk in leases.unleased()] == ["1.1", "1.0", "0.2", "2.0"]


def test_of_many_that_claim_at_once_one_gets_a_chunk(tmp_path: Path) -> None:
    rows = [row("one", 0, 300, 0)]
    got: list[tuple[str, int]] = []
    start = threading.Barrier(6)

    def take(rank: int) -> None:
        leases = claims_of(tmp_path, rows, 1)
        start.wait()
        got.extend((chunk.name, rank) for chunk in leases.chunks(0) if leases.lease(chunk.given_to(rank)))

    threads = [threading.Thread(target=take, args=(rank,)) for rank in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(name for name, _ in got) == {f"0.{number}": 1 for number in range(300)}


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "claims").write_text("in the way")
    with pytest.raises(LeaseError, match=r"claims folder .*: cannot be written: Not a directory"):
        claims_of(tmp_path, ROWS, 10)


def test_a_file_system_without_links_has_no_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    leases = claims_of(tmp_path, ROWS, 10)
    assert leases.size == 0
    assert list(leases.unleased()) == []


def test_where_one_link_takes_the_place_of_another_there_are_no_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Path.symlink_to

    def replace(self: Path, target: str) -> None:
        self.unlink(missing_ok=True)
        make(self, target)

    monkeypatch.setattr(Path, "symlink_to", replace)
    assert claims_of(tmp_path, ROWS, 10).size == 0
    monkeypatch.undo()
    assert claims_of(tmp_path, ROWS, 10).size == 10
    assert not list(tmp_path.glob("claims/*/.*"))


@pytest.mark.parametrize("code", [errno.EIO, errno.EACCES, errno.ENOSPC])
def test_links_that_fail_now_may_be_made_by_others_so_it_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(self: Path, target: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "symlink_to", fail)
    with pytest.raises(LeaseError, match=os.strerror(code)):
        claims_of(tmp_path, ROWS, 10)
