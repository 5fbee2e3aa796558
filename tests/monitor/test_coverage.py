"""How far a plan has come, whatever lies in the result folder."""

from pathlib import Path

from MetaCaptioner.monitor.coverage import Count, Coverage, Oddities
from MetaCaptioner.planning.leases import Leases
from MetaCaptioner.planning.plan_file import PlanRow, read_plan
from tests.helpers import plan_row, write_plan
from tests.records.test_scan import failed_record, line, ok_record

NOTHING_ODD = Oddities(0, 0, 0, 0)


def rows(tmp_path: Path, *shards: tuple[int, int, int], total: int = 100, processed: int = 0) -> list[PlanRow]:
    """A plan of (rank, start, end) shards of the dataset `set`."""
    given = [
        plan_row(tmp_path / "set.json", tmp_path, start, end, rank, total=total, processed=processed)
        for rank, start, end in shards
    ]
    return read_plan(write_plan(tmp_path / "plan.jsonl", *given))[0]


def write(folder: Path, rank: int, *records: object, node: int = 0, part: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"Rank{rank}_node{node}_set{part}.jsonl"
    with path.open("ab") as file:
        file.writelines(map(line, records))
    return path


def oks(*numbers: int) -> list[object]:
    return [ok_record("set", number) for number in numbers]


def test_no_folder_yet_and_an_empty_one(tmp_path: Path) -> None:
    coverage = Coverage(rows(tmp_path, (0, 0, 60), (1, 60, 100)), tmp_path / "out")
    for _ in range(2):
        coverage.look()
        assert coverage.ranks() == {0: Count(60, 0, {}), 1: Count(40, 0, {})}
        assert coverage.datasets() == {"set": Count(100, 0, {})}
        assert coverage.oddities() == NOTHING_ODD
        assert coverage.last_changes() == {}
        (tmp_path / "out").mkdir(exist_ok=True)


def test_ranks_datasets_and_kinds_of_errors(tmp_path: Path) -> None:
    coverage, out = Coverage(rows(tmp_path, (0, 0, 60), (1, 60, 100)), tmp_path / "out"), tmp_path / "out"
    write(out, 0, *oks(0, 1, 2), failed_record("set", 3, "b"))
    write(out, 1, failed_record("set", 60, "a"), failed_record("set", 61, "b"))
    coverage.look()
    assert coverage.ranks() == {0: Count(60, 4, {"b": 1}), 1: Count(40, 2, {"a": 1, "b": 1})}
    assert coverage.datasets() == {"set": Count(100, 6, {"b": 2, "a": 1})}
    write(out, 1, *oks(62), node=3)
    write(out, 1, *oks(63), part="~1")
    coverage.look()
    assert coverage.ranks()[1] == Count(40, 4, {"a": 1, "b": 1})
    assert coverage.datasets()["set"].remaining == 92
    assert coverage.oddities() == NOTHING_ODD


def test_a_retry_takes_failures_away_and_other_files_stay_counted(tmp_path: Path) -> None:
    coverage, out = Coverage(rows(tmp_path, (0, 0, 60), (1, 60, 100)), tmp_path / "out"), tmp_path / "out"
    path = write(out, 0, *oks(0), failed_record("set", 1, "b"))
    write(out, 1, *oks(60))
    assert coverage.look() == set()
    rewritten = out / ".new"
    rewritten.write_bytes(b"".join(map(line, oks(0))))
    rewritten.replace(path)
    assert coverage.look() == {0}
    assert coverage.datasets()["set"] == Count(100, 2, {})
    write(out, 0, *oks(1))
    assert coverage.look() == set()
    assert coverage.ranks() == {0: Count(60, 2, {}), 1: Count(40, 1, {})}


def test_a_sample_with_several_records_counts_once_and_is_ok_if_any_is(tmp_path: Path) -> None:
    """As when the same data was planned again for other ranks, without naming the results."""
    coverage, out = Coverage(rows(tmp_path, (0, 0, 50), (1, 50, 100)), tmp_path / "out"), tmp_path / "out"
    write(out, 0, *oks(1, 60), failed_record("set", 2, "a"), failed_record("set", 61, "a"))
    write(out, 1, *oks(61), failed_record("set", 60, "b"), failed_record("set", 2, "b"))
    coverage.look()
    assert coverage.datasets()["set"] == Count(100, 4, {"b": 1})
    assert coverage.oddities() == Oddities(outside_plan=0, repeated=3, broken=0, nobodys=0)
    # A rank looks into its own files alone, so that is what it has done.
    assert coverage.ranks() == {0: Count(50, 2, {"a": 1}), 1: Count(50, 2, {"b": 1})}


def test_a_plan_of_what_remained_counts_what_was_done_before(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 0, *oks(*range(10)))
    write(out, 3, *oks(*range(40, 45)))
    coverage = Coverage(rows(tmp_path, (0, 10, 40), (1, 45, 100), processed=15), out)
    coverage.look()
    assert coverage.datasets()["set"] == Count(100, 15, {})
    assert coverage.ranks() == {0: Count(30, 0, {}), 1: Count(55, 0, {})}
    assert coverage.oddities() == NOTHING_ODD
    write(out, 0, *oks(10))
    coverage.look()
    assert (coverage.datasets()["set"].done, coverage.ranks()[0].done) == (16, 1)


def test_a_plan_of_other_results_is_told(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, 0, ok_record("other", 1), *oks(5, 200))
    coverage = Coverage(rows(tmp_path, (0, 10, 100), processed=10), out)
    coverage.look()
    assert coverage.datasets()["set"] == Count(100, 1, {})
    assert coverage.oddities() == Oddities(outside_plan=2, repeated=0, broken=0, nobodys=9)


def test_a_plan_of_a_part_expects_that_part(tmp_path: Path) -> None:
    write(tmp_path / "out", 0, *oks(5, 50))
    coverage = Coverage(rows(tmp_path, (0, 0, 10), (1, 20, 30)), tmp_path / "out")
    coverage.look()
    assert coverage.datasets()["set"] == Count(20, 1, {})
    assert coverage.oddities().outside_plan == 1


def test_overlapping_shards_belong_to_the_one_that_begins_first(tmp_path: Path) -> None:
    write(tmp_path / "out", 1, *oks(5, 15))
    coverage = Coverage(rows(tmp_path, (0, 0, 10), (1, 5, 20), total=20), tmp_path / "out")
    coverage.look()
    assert coverage.ranks() == {0: Count(10, 0, {}), 1: Count(10, 1, {})}


def test_broken_lines_and_a_torn_one(tmp_path: Path) -> None:
    path = write(tmp_path / "out", 0, *oks(0))
    path.write_bytes(b"\x00\x00\n" + path.read_bytes() + line(ok_record("set", 1))[:-1])
    coverage = Coverage(rows(tmp_path, (0, 0, 10), total=10), tmp_path / "out")
    coverage.look()
    assert coverage.datasets()["set"] == Count(10, 1, {})
    assert coverage.oddities() == Oddities(outside_plan=0, repeated=0, broken=1, nobodys=0)


def test_chunks_that_are_taken_over_are_their_takers(tmp_path: Path) -> None:
    """Also where the claim is made between two looks at a file that grows."""
    plan, out = rows(tmp_path, (0, 0, 50), (1, 50, 100)), tmp_path / "out"
    write(out, 0, *oks(*range(50)))
    coverage = Coverage(plan, out)
    coverage.look()
    assert {rank: (count.total, count.done) for rank, count in coverage.ranks().items()} == {0: (50, 50), 1: (50, 0)}
    leases = Leases(out, plan)
    leases.agree_on(20)
    assert leases.lease(leases.chunk(1, 1).given_to(0))  # [70, 90)
    assert leases.lease(leases.chunk(1, 2).given_to(0))  # [90, 100)
    write(out, 0, *oks(*range(90, 97)))
    write(out, 1, *oks(*range(50, 55)))
    coverage.look()
    assert {rank: (count.total, count.done) for rank, count in coverage.ranks().items()} == {0: (80, 57), 1: (20, 5)}
    assert coverage.datasets()["set"].done == 62


def test_of_scores_nothing_remains_where_the_caption_failed(tmp_path: Path) -> None:
    captions, plan = tmp_path / "out", rows(tmp_path, (0, 0, 6), (1, 6, 10), total=10)
    write(captions, 0, *oks(0, 1, 2, 3), failed_record("set", 4, "a"), failed_record("set", 5, "no_media"))
    write(captions, 1, *oks(6, 7), failed_record("set", 8, "a"))
    coverage, scores = Coverage(plan, captions / "score"), captions / "score"
    write(scores, 0, *oks(0, 1, 2, 3))
    write(scores, 1, *oks(6))
    coverage.look()
    assert coverage.ranks() == {0: Count(4, 4, {}), 1: Count(3, 1, {})}
    assert coverage.datasets() == {"set": Count(7, 5, {})}
    write(captions, 1, *oks(8, 9))  # the failure was done again
    write(scores, 1, *oks(7, 8), failed_record("set", 9, "bad_verdict"))
    coverage.look()
    assert coverage.datasets() == {"set": Count(8, 8, {"bad_verdict": 1})}
    assert not any(count.remaining for count in coverage.ranks().values())
    assert Coverage(plan, captions).datasets() == {"set": Count(10, 0, {})}
