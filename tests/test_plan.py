import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner.errors import UserError
from MetaCaptioner.planning.plan_file import PlanRow, read_plan
from MetaCaptioner.planning.shards import cut
from MetaCaptioner.planning.survey import DatasetWork
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.utils import parallel
from tests.helpers import (
    PLAN_KEYS,
    FakeEngine,
    Row,
    Runner,
    error_kinds,
    make_read_only,
    names,
    picture_rows,
    plan_row,
    records,
    small_plan,
    write_annotation,
    write_metafile,
    write_plan,
)


def dataset(folder: Path, name: str, rows: Sequence[object], **entry: object) -> Row:
    """A Metafile entry for `rows`, whose pictures lie in `folder`/media."""
    (folder / "media").mkdir(exist_ok=True)
    annotation = write_annotation(folder / f"{name}.json", rows)
    return {"root": "media", "annotation": annotation.name, "task": "Natural", **entry}


def sized_rows(count: int, seed: int) -> list[Row]:
    sides = np.random.default_rng(seed).integers(60, 3000, (count, 2)).tolist()
    return [{"id": n, "image": f"{n}.jpg", "width": w, "height": h} for n, (w, h) in enumerate(sides)]


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def covered(rows: list[Row]) -> list[tuple[str, int]]:
    """All (dataset, index) of a plan, with repetition."""
    return sorted((row["data_name"], n) for row in rows for n in range(row["start_idx"], row["end_idx"]))


def test_a_plan_row_begins_with_the_keys_of_the_contract_in_order(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, ADE=dataset(tmp_path, "ade", sized_rows(10, 0), sample_count=8, length=10))
    outcome = run.plan(metafile, tmp_path / "out" / "plan.jsonl", num_ranks=2)
    assert outcome.status == 0
    assert outcome.errors == []
    rows = read(tmp_path / "out" / "plan.jsonl")
    for number, row in enumerate(rows):
        assert list(row)[: len(PLAN_KEYS)] == PLAN_KEYS
        assert (row["data_name"], row["task"], row["modality"]) == ("ADE", "Natural", "image")
        assert (row["total"], row["processed"], row["remain"]) == (8, 0, 8)
        assert (row["shard_index"], row["num_shards"]) == (number, len(rows))
        assert (row["json_url"], row["root"]) == (str(tmp_path / "ade.json"), str(tmp_path / "media"))
        assert (row["anno_file_key"], row["assign_rank"]) == ("ade.json", number)


@pytest.mark.parametrize("num_ranks", [1, 2, 3, 7, 16])
def test_the_shards_cover_everything_once_and_are_balanced(tmp_path: Path, run: Runner, num_ranks: int) -> None:
    video_rows = [{"id": n, "video": f"{n}.mp4"} for n in range(300)]
    metafile = write_metafile(
        tmp_path,
        a=dataset(tmp_path, "a", sized_rows(2000, 1)),
        b=dataset(tmp_path, "b", sized_rows(700, 2), task="auto", sample_count=600),
        c=dataset(tmp_path, "c", video_rows, task="Video & Temporal", modality="video"),
    )
    assert run.plan(metafile, tmp_path / "plan.jsonl", num_ranks=num_ranks).status == 0
    rows = read(tmp_path / "plan.jsonl")
    whole = [("a", n) for n in range(2000)] + [("b", n) for n in range(600)] + [("c", n) for n in range(300)]
    assert covered(rows) == whole
    assert len(rows) <= num_ranks - 1 + 3
    loads = np.zeros(num_ranks)
    for row in rows:
        loads[row["assign_rank"]] += row["cost"]
    assert loads.max() <= 1.05 * loads.mean()
    assert loads.min() >= 0.95 * loads.mean()


def test_samples_of_equal_cost_on_as_many_ranks_are_one_each(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", picture_rows(tmp_path / "media", 6)))
    run.plan(metafile, tmp_path / "plan.jsonl", num_ranks=6)
    rows = read(tmp_path / "plan.jsonl")
    assert [(row["assign_rank"], row["end_idx"] - row["start_idx"]) for row in rows] == [(n, 1) for n in range(6)]


def test_the_estimate_is_what_is_balanced_and_not_the_number_of_rows(tmp_path: Path, run: Runner) -> None:
    clips = [{"id": n, "video": f"{n}.mp4"} for n in range(200)]
    small = [{"id": n, "image": f"{n}.png", "width": 56, "height": 56} for n in range(200)]
    metafile = write_metafile(
        tmp_path,
        clips=dataset(tmp_path, "clips", clips, task="Video & Temporal", modality="video"),
        small=dataset(tmp_path, "small", small),
    )
    run.plan(metafile, tmp_path / "plan.jsonl", num_ranks=2)
    counts = dict.fromkeys((0, 1), 0)
    for row in read(tmp_path / "plan.jsonl"):
        counts[row["assign_rank"]] += row["end_idx"] - row["start_idx"]
    assert counts[1] > 1.3 * counts[0]


def test_more_ranks_than_samples_leave_some_without_work(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    assert run.plan(metafile, tmp_path / "plan.jsonl", num_ranks=10).status == 0
    rows = read(tmp_path / "plan.jsonl")
    assert covered(rows) == [("a", 0), ("a", 1), ("a", 2)]
    assert len({row["assign_rank"] for row in rows}) == 3


@pytest.mark.parametrize(("count", "selected"), [(0, 0), (3, 3), (None, 5), (99, 5)])
def test_sample_count_selects_the_first_rows(tmp_path: Path, run: Runner, count: int | None, selected: int) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(5, 0), sample_count=count))
    assert run.plan(metafile, tmp_path / "plan.jsonl").status == 0
    assert covered(read(tmp_path / "plan.jsonl")) == [("a", n) for n in range(selected)]


def test_a_length_that_is_not_true_is_noted(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(5, 0), length=6))
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    assert outcome.status == 0
    assert "note: dataset 'a': length says 6, the annotation file has 5 rows\n" in outcome.said


def test_ids_that_occur_twice_are_noted_once_and_every_row_is_planned(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 6)
    for row, row_id in zip(rows, [7, "x", 1, 7, "x", 7], strict=True):
        row["id"] = row_id
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", rows))
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    notes = [line for line in outcome.said.splitlines() if line.startswith("note: ")]
    assert notes == ["note: dataset 'a': 2 ids occur more than once (first in row 0); each row counts by itself"]
    assert outcome.status == 0
    assert run.caption(tmp_path / "plan.jsonl", tmp_path / "out").status == 0
    assert {r["id"] for r in records(tmp_path / "out").values()} == {7, "x", 1}
    assert set(records(tmp_path / "out")) == names(6, "a")


@pytest.mark.parametrize("ids", [[None, None, None], [-1, -2, -3], [0, 1, 2], ["0", 0, -2]])
def test_ids_that_differ_or_are_not_given_are_not_noted(tmp_path: Path, run: Runner, ids: list[object]) -> None:
    rows = [{**row, "id": row_id} for row, row_id in zip(sized_rows(len(ids), 0), ids, strict=True)]
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", rows))
    assert "note:" not in run.plan(metafile, tmp_path / "plan.jsonl").said


# --- what cannot be planned


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'[{"id": 0, "image": "a.jpg"}, {"id": 1, "ima', "row 1 is broken at byte"),
        (b"", "is empty"),
        (None, "cannot be read: No such file or directory"),
        (
            b'[{"image": "a.jpg"}]\n' * 2,
            "goes on behind the end of its list of 1 rows, at byte 21 of 42 (",
        ),
        (b"\x1f\x8b\x08\x00", "is compressed with gzip, not JSON text; unpack it: gzip -dc < "),
        (b'[{"id": 1}]', "none of 1 rows can be used (first: row 0: has neither 'image' nor 'video'"),
    ],
    ids=["truncated", "empty", "missing", "two lists", "gzip", "text only"],
)
def test_a_broken_annotation_file_costs_one_line_and_leaves_the_other_datasets(
    tmp_path: Path, run: Runner, content: bytes | None, complaint: str
) -> None:
    metafile = write_metafile(
        tmp_path, bad=dataset(tmp_path, "bad", []), good=dataset(tmp_path, "good", sized_rows(4, 0))
    )
    (tmp_path / "bad.json").unlink()
    if content is not None:
        (tmp_path / "bad.json").write_bytes(content)
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: Metafile {metafile}: dataset 'bad': annotation file {tmp_path / 'bad.json'}: ")
    assert complaint in error
    assert covered(read(tmp_path / "plan.jsonl")) == [("good", n) for n in range(4)]
    assert "left out: 1 of 2 datasets" in outcome.said


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"root": "nowhere"}, "root {folder}/nowhere is not a folder"),
        ({"modality": "audio"}, "modality: Input should be 'image' or 'video'"),
        ({"task": "Naturel"}, "did you mean 'Natural'?"),
        ({"annotation": 3}, "annotation: "),
    ],
)
def test_a_broken_entry_costs_one_line_and_leaves_the_other_datasets(
    tmp_path: Path, run: Runner, entry: Row, complaint: str
) -> None:
    good = dataset(tmp_path, "good", sized_rows(4, 0))
    metafile = write_metafile(tmp_path, bad=good | entry, good=good)
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    assert outcome.status == 1
    [error] = outcome.errors
    assert f"Metafile {metafile}: dataset 'bad': " in error
    assert complaint.format(folder=tmp_path) in error
    assert {name for name, _ in covered(read(tmp_path / "plan.jsonl"))} == {"good"}


def test_all_broken_datasets_are_told_in_one_run(tmp_path: Path, run: Runner) -> None:
    good = dataset(tmp_path, "good", sized_rows(4, 0))
    metafile = write_metafile(
        tmp_path,
        a={"image_root": "media", "annotation": "none.json", "length": -1},
        b=good | {"root": "nowhere", "annotation": "nothing.json"},
        c=good | {"sample_cuont": 2},
        good=good | {"comment": "x", "image_root": "y"},
    )
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    assert outcome.status == 1
    assert [error.removeprefix(f"error: Metafile {metafile}: dataset ") for error in outcome.errors] == [
        "'a': root: Field required; length: Input should be greater than or equal to 0 (got -1); "
        f"unknown key 'image_root' (do you mean 'root'?); annotation file {tmp_path}/none.json: there is no such file",
        "'c': unknown key 'sample_cuont' (do you mean 'sample_count'?)",
        f"'b': root {tmp_path}/nowhere is not a folder; annotation file {tmp_path}/nothing.json: "
        "cannot be read: No such file or directory",
    ]
    assert "dataset 'good': unknown keys are left alone: 'comment', 'image_root' (do you mean 'root'?)" in outcome.said
    assert covered(read(tmp_path / "plan.jsonl")) == [("good", n) for n in range(4)]


def test_where_nothing_can_be_planned_an_earlier_plan_stays(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "plan.jsonl").write_text("earlier")
    metafile = write_metafile(tmp_path, bad={"root": "nowhere", "annotation": "none.json"})
    outcome = run.plan(metafile, tmp_path / "plan.jsonl")
    assert outcome.status == 1
    assert outcome.errors[-1] == f"error: Metafile {metafile}: no dataset can be planned"
    assert (tmp_path / "plan.jsonl").read_text() == "earlier"


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_metafile_that_is_none_is_one_line(tmp_path: Path, run: Runner, content: str) -> None:
    (tmp_path / "Metafile.json").write_text(content)
    outcome = run.plan(tmp_path / "Metafile.json", tmp_path / "plan.jsonl")
    assert outcome.status == 1
    assert outcome.said.count("\n") == 1
    assert outcome.said.startswith(f"error: Metafile {tmp_path / 'Metafile.json'}: ")


def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    outcome = run.plan(metafile, metafile / "plan.jsonl")
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: plan {metafile / 'plan.jsonl'}: cannot be written: ")
    (tmp_path / "read_only").mkdir()
    make_read_only(monkeypatch, tmp_path / "read_only")
    outcome = run.plan(metafile, tmp_path / "read_only" / "plan.jsonl")
    assert outcome.status == 1
    assert outcome.errors == [
        f"error: plan {tmp_path / 'read_only' / 'plan.jsonl'}: cannot be written: Read-only file system"
    ]


@pytest.mark.parametrize("more", [["--num-ranks", "0"], ["--retry-errors"], ["--num-ranks", "x"]])
def test_bad_arguments(tmp_path: Path, run: Runner, more: list[str]) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    assert run.plan(metafile, tmp_path / "plan.jsonl", *more).status == 2


def test_what_becomes_of_other_results_may_be_said_for_all_commands(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    refused = run.plan(metafile, tmp_path / "plan.jsonl", "--redo")
    assert (refused.status, refused.errors) == (2, ["error: --redo needs --results"])
    monkeypatch.setenv("METACAPTIONER_OTHERS", "redo")
    assert run.plan(metafile, tmp_path / "plan.jsonl").status == 0


def test_a_damaged_picture_does_not_stop_the_planner(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.avif").write_bytes(
        b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + b"\0\0\0\x10meta" + bytes(30)
    )
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", [{"id": 0, "image": "a.avif"}]))
    assert run.plan(metafile, tmp_path / "plan.jsonl").status == 0


def test_a_bad_row_is_planned_like_any_other(tmp_path: Path, run: Runner) -> None:
    """It ends in an error record, and no rank is missing a row."""
    rows = [{"id": 0, "image": "a.jpg", "width": "12"}, [1], "text", {"id": 3}, *sized_rows(2, 0)]
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", rows))
    assert run.plan(metafile, tmp_path / "plan.jsonl").status == 0
    assert covered(read(tmp_path / "plan.jsonl")) == [("a", n) for n in range(6)]


# --- planning again


def done(folder: Path, *indices: int, status: str = "ok") -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "Rank9_node0_a.jsonl").open("a") as file:
        for n in indices:
            file.write(json.dumps({"sample_id": f"a/{n}", "data_name": "a", "index": n, "status": status}) + "\n")


@pytest.mark.parametrize(("num_ranks", "from_bytes"), [(1, None), (2, None), (5, None), (5, 0)])
def test_with_results_exactly_what_remains_is_planned(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch, num_ranks: int, from_bytes: int | None
) -> None:
    if from_bytes is not None:  # several processes
        monkeypatch.setattr(parallel, "_FROM_BYTES", from_bytes)
    metafile = write_metafile(
        tmp_path, a=dataset(tmp_path, "a", sized_rows(20, 0)), b=dataset(tmp_path, "b", sized_rows(3, 0))
    )
    done(tmp_path / "out", 0, 1, 5, 9, 10, 11, 19)
    done(tmp_path / "out", 12, status="error")
    done(tmp_path / "out", -1, 20, 10**30)  # of no row of the dataset
    (tmp_path / "out" / "Rank8_node0_a.jsonl").write_text('{"sample_id": "x/0", "data_name": "x", "index": 0}\n')
    with (tmp_path / "out" / "Rank9_node0_a.jsonl").open("a") as file:
        file.write('{"sample_id": "a/3", "data_name": "a", "index": 3')  # torn: not done
    outcome = run.plan(metafile, tmp_path / "plan.jsonl", "--results", tmp_path / "out", num_ranks=num_ranks)
    assert "2 of rows that are not there any more, such as a/20" in outcome.errors[0]
    keep = ("--results", tmp_path / "out", "--keep")
    assert run.plan(metafile, tmp_path / "plan.jsonl", *keep, num_ranks=num_ranks).status == 0
    rows = read(tmp_path / "plan.jsonl")
    remaining = [("a", n) for n in (2, 3, 4, 6, 7, 8, 13, 14, 15, 16, 17, 18)] + [("b", n) for n in range(3)]
    assert covered(rows) == remaining
    counts = {(row["data_name"], row["total"], row["processed"], row["remain"]) for row in rows}
    assert counts == {("a", 20, 8, 12), ("b", 3, 0, 3)}
    for name in ("a", "b"):
        shards = [row for row in rows if row["data_name"] == name]
        assert [(row["shard_index"], row["num_shards"]) for row in shards] == [
            (number, len(shards)) for number in range(len(shards))
        ]


def test_where_all_is_done_the_plan_is_empty_and_running_it_does_nothing(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    done(tmp_path / "out", 0, 1, 2)
    assert run.plan(metafile, tmp_path / "plan.jsonl", "--results", tmp_path / "out").status == 0
    assert covered(read(tmp_path / "plan.jsonl")) == []
    assert run.caption(tmp_path / "plan.jsonl", tmp_path / "out", engine_opens=False).status == 0


def test_failures_are_planned_again_on_demand(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(5, 0)))
    done(tmp_path / "out", 0, 1)
    done(tmp_path / "out", 2, 3, status="error")
    outcome = run.plan(metafile, tmp_path / "plan.jsonl", "--results", tmp_path / "out", "--retry-errors")
    assert "2 failed samples will be tried again" in outcome.said
    assert covered(read(tmp_path / "plan.jsonl")) == [("a", 2), ("a", 3), ("a", 4)]
    assert set(records(tmp_path / "out")) == {"a/0", "a/1"}


@pytest.mark.parametrize("second_ranks", [1, 2, 5])
def test_a_plan_made_again_with_other_ranks_completes_the_first(tmp_path: Path, run: Runner, second_ranks: int) -> None:
    metafile = write_metafile(
        tmp_path,
        a=dataset(tmp_path, "a", picture_rows(tmp_path / "media", 12)),
        b=dataset(tmp_path, "b", picture_rows(tmp_path / "media", 5)),
    )
    out, plan = tmp_path / "out", tmp_path / "plan.jsonl"
    run.plan(metafile, plan, num_ranks=3)
    first = FakeEngine()
    for rank in range(3):
        run.caption(plan, out, "--max-samples", 7, rank=(rank, 3), engine=first)
    begun = records(out)
    assert len(begun) == 7
    run.plan(metafile, plan, "--results", out, num_ranks=second_ranks)
    second = FakeEngine()
    for rank in range(second_ranks):
        assert run.caption(plan, out, rank=(rank, second_ranks), engine=second).status == 0
    assert set(records(out)) == names(12, "a") | names(5, "b")
    assert second.samples == set(records(out)) - set(begun)
    assert error_kinds(out) == {}
    run.plan(metafile, plan, "--results", out, num_ranks=4)
    assert covered(read(plan)) == []


@pytest.mark.parametrize("seed", range(4))
def test_planned_again_and_again_over_results_with_gaps_each_sample_is_done_once(
    tmp_path: Path, run: Runner, seed: int
) -> None:
    """Ranks die at random places with samples out of order, torn lines and failures; each plan has other ranks."""
    random = np.random.default_rng(seed)
    sizes = {"a": 23, "b": 1, "c": 14}
    metafile = write_metafile(
        tmp_path, **{k: dataset(tmp_path, k, picture_rows(tmp_path / "media", n)) for k, n in sizes.items()}
    )
    (tmp_path / "media" / "3.png").write_bytes(b"no picture")
    out, plan, everything = (
        tmp_path / "out",
        tmp_path / "plan.jsonl",
        {f"{k}/{n}" for k in sizes for n in range(sizes[k])},
    )
    out.mkdir()
    for num_ranks in (3, 5, 1, 2, 7):
        assert run.plan(metafile, plan, "--results", out, num_ranks=num_ranks).status == 0
        before = set(records(out))
        planned = [f"{name}/{index}" for name, index in covered(read(plan))]
        assert sorted(planned) == sorted(everything - before)
        engine = FakeEngine()
        for rank in random.permutation(num_ranks)[: max(1, num_ranks - 1)].tolist():
            run.caption(plan, out, "--max-samples", 3 * num_ranks, rank=(rank, num_ranks), engine=engine)
        assert engine.samples.isdisjoint(before)
        lose_some(out, random)
    assert run.plan(metafile, plan, "--results", out, num_ranks=4).status == 0
    for rank in range(4):
        run.caption(plan, out, rank=(rank, 4))
    assert set(records(out)) == everything
    assert error_kinds(out) == {"a/3": "media_corrupt", "c/3": "media_corrupt"}
    assert run.plan(metafile, plan, "--results", out).status == 0
    assert covered(read(plan)) == []


def lose_some(folder: Path, random: np.random.Generator) -> None:
    """As if some samples in the middle had not been finished when the ranks died: their lines go."""
    for path in sorted(folder.glob("Rank*.jsonl")):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if random.random() < 0.7))


@pytest.mark.parametrize("num_ranks", [1, 3])
def test_a_torn_line_is_dropped_and_planned_again_though_its_rank_may_be_no_more(
    tmp_path: Path, run: Runner, num_ranks: int
) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", picture_rows(tmp_path / "media", 6)))
    out, plan = tmp_path / "out", tmp_path / "plan.jsonl"
    run.plan(metafile, plan, num_ranks=2)
    for rank in range(2):  # in the order of the rows
        run.caption(plan, out, "--in-flight", 1, "--decode-threads", 1, "--takeover-chunk", 0, rank=(rank, 2))
    last = out / "Rank1_node0_a.jsonl"
    last.write_bytes(last.read_bytes()[:-20])
    outcome = run.plan(metafile, plan, "--results", out, num_ranks=num_ranks)
    assert "note: 1 torn lines of rank 1 are dropped; their samples are planned again" in outcome.said
    assert covered(read(plan)) == [("a", 5)]
    assert set(records(out)) == names(5, "a")
    engine = FakeEngine()
    for rank in range(num_ranks):
        run.caption(plan, out, rank=(rank, num_ranks), engine=engine)
    assert engine.samples == {"a/5"}
    assert set(records(out)) == names(6, "a")


def test_torn_lines_that_cannot_be_dropped_do_not_keep_from_planning(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(3, 0)))
    done(tmp_path / "out", 0, 1)
    with (tmp_path / "out" / "Rank9_node0_a.jsonl").open("a") as file:
        file.write('{"sample_id": "a/2"')
    make_read_only(monkeypatch, tmp_path / "out")
    outcome = run.plan(metafile, tmp_path / "plan.jsonl", "--results", tmp_path / "out")
    assert outcome.status == 0
    assert f"note: output folder {tmp_path / 'out'}: cannot be written: Read-only file system" in outcome.said
    assert covered(read(tmp_path / "plan.jsonl")) == [("a", 2)]


def test_while_ranks_are_at_work_what_remains_is_not_planned(tmp_path: Path, run: Runner) -> None:
    metafile = write_metafile(tmp_path, a=dataset(tmp_path, "a", sized_rows(5, 0)))
    out, plan = tmp_path / "out", tmp_path / "plan.jsonl"
    with RankResults(out, 7, node=0), RankResults(out, 9, node=0):
        outcome = run.plan(metafile, plan, "--results", out)
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: --results {out}: 2 ranks are at work there (such as rank 7); ")
    assert not plan.exists()
    assert run.plan(metafile, plan, "--results", out).status == 0


# --- reading plans


def test_a_plan_written_by_hand_with_relative_paths_works(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_plan(tmp_path, 3)
    row = plan_row(Path("set.json"), Path("media"), 0, 3)
    assert list(row) == PLAN_KEYS
    write_plan(tmp_path / "plan.jsonl", row)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run.caption(Path("../plan.jsonl"), tmp_path / "out").status == 0
    assert {r["status"] for r in records(tmp_path / "out").values()} == {"ok"}
    assert set(records(tmp_path / "out")) == names(3)


def test_numbers_as_text_and_file_addresses_in_a_plan(tmp_path: Path) -> None:
    row = plan_row(tmp_path / "a.json", tmp_path, 0, 3)
    row |= {"start_idx": "1", "end_idx": "3", "root": "file:///d/x%20y"}
    [read_back], problems = read_plan(write_plan(tmp_path / "plan.jsonl", row))
    assert problems == []
    assert (read_back.start_idx, read_back.end_idx, read_back.root) == (1, 3, "/d/x y")


def test_keys_that_are_not_known_are_passed_over(tmp_path: Path) -> None:
    row = plan_row(tmp_path / "a.json", tmp_path, 0, 3, cost=4.5, fingerprint="x", notes=["y"])
    rows, problems = read_plan(write_plan(tmp_path / "plan.jsonl", row))
    assert problems == []
    assert (rows[0].cost, rows[0].stem) == (4.5, "a")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("no json", "Invalid JSON"),
        ('{"data_name": "a"', "Invalid JSON"),
        ("[]", "Input should be an object"),
        (json.dumps(plan_row(Path("a.json"), Path("m"), 3, 2)), "end_idx 2 is below start_idx 3"),
        (json.dumps(plan_row(Path("a.json"), Path("m"), -1, 2)), "start_idx: "),
        (json.dumps(plan_row(Path("a.json"), Path("m"), 0, 2, assign_rank=None)), "assign_rank: "),
        (json.dumps(plan_row(Path("a.json"), Path("m"), 0, 2, modality="audio")), "modality: "),
        (json.dumps({"data_name": "a"}), "json_url: Field required"),
        (json.dumps(plan_row(Path("a.json"), Path("m"), 0, 2)) * 2, "Invalid JSON"),
        (json.dumps(plan_row(Path("a.json"), Path("m"), 0, 2) | {"root": "s3://m"}), "is an address, not a file"),
    ],
)
def test_a_broken_line_is_named_and_the_others_are_read(tmp_path: Path, line: str, complaint: str) -> None:
    sound = plan_row(tmp_path / "a.json", tmp_path, 0, 3)
    path = write_plan(tmp_path / "plan.jsonl", sound, "", line, sound)
    rows, [problem] = read_plan(path)
    assert len(rows) == 2
    assert problem.startswith(f"plan {path}: line 3: ")
    assert complaint in problem
    assert "\n" not in problem


def test_a_plan_without_a_sound_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 1: .* \(no line of the plan can be used\)"):
        read_plan(write_plan(tmp_path / "plan.jsonl", "x", "y"))
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read: No such file"):
        read_plan(tmp_path / "none.jsonl")
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"bytes\.jsonl: cannot be read: "):
        read_plan(tmp_path / "bytes.jsonl")


@pytest.mark.parametrize("name", ["Ünïcode 日本", "line\u2028separator", "next\u0085line", 'quo"te\\'])
def test_any_name_survives_the_plan(tmp_path: Path, run: Runner, name: str) -> None:
    metafile = write_metafile(tmp_path, **{name: dataset(tmp_path, "a", sized_rows(3, 0))})
    assert run.plan(metafile, tmp_path / "plan.jsonl").status == 0
    rows, problems = read_plan(tmp_path / "plan.jsonl")
    assert problems == []
    assert [row.data_name for row in rows] == [name]


def test_shards_of_many_gaps_and_datasets_stay_exact() -> None:
    """The cutter alone, on random costs and gaps."""
    from MetaCaptioner.data.metafile import Dataset

    random = np.random.default_rng(5)
    for num_ranks in (1, 2, 3, 8, 50):
        works = []
        for name in ("a", "b", "c"):
            size = int(random.integers(0, 60))
            pending, media = random.random(size) < 0.6, np.zeros(size, dtype=np.uint32)
            dataset = Dataset(root=Path("/r"), annotation=Path(f"/{name}.json"))
            works.append(
                DatasetWork(name, dataset, random.lognormal(size=size).astype(np.float32), pending, media, size)
            )
        rows: list[PlanRow] = cut(works, num_ranks)
        found = list(chain.from_iterable(((r.data_name, n) for n in range(r.start_idx, r.end_idx)) for r in rows))
        wanted = [(work.name, int(n)) for work in works for n in np.flatnonzero(work.pending)]
        assert found == wanted
        assert all(0 <= row.assign_rank < num_ranks for row in rows)


def test_bad_rows_are_counted_when_planned(tmp_path: Path, run: Runner) -> None:
    rows = [*sized_rows(3, 0), {"id": 3}, {"id": 4, "image": "a.jpg", "task": "Naturall"}]
    outcome = run.plan(write_metafile(tmp_path, a=dataset(tmp_path, "a", rows)), tmp_path / "plan.jsonl")
    assert outcome.status == 0
    assert "note: dataset 'a': 1 rows will end as bad_row records (first: row 4: task 'Naturall'" in outcome.said
    assert "note: dataset 'a': 1 rows have neither image nor video and are left out: no stage can use" in outcome.said


def test_failures_that_a_new_plan_leaves_out_are_told_where_they_could_be_tried_again(
    tmp_path: Path, run: Runner
) -> None:
    """First by the planner, then by the run that is asked to try them: no rank would find them."""
    rows = picture_rows(tmp_path / "media", 8)
    for number in (1, 5):
        (tmp_path / "media" / f"{number}.png").rename(tmp_path / f"{number}.png")
    annotation = write_annotation(tmp_path / "set.json", [*rows, {"id": "text alone"}])
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": annotation.name, "task": "Natural"})
    plan, out = tmp_path / "plan.jsonl", tmp_path / "out"
    run.plan(metafile, plan, num_ranks=2)
    for rank in (0, 1):
        run.caption(plan, out, rank=(rank, 2))
    planned = run.plan(metafile, plan, "--results", out)
    assert f"note: {out}: 2 samples have failed there and count as done" in planned.said
    for number in (1, 5):
        (tmp_path / f"{number}.png").rename(tmp_path / "media" / f"{number}.png")
    outcome = run.caption(plan, out, "--retry-errors", engine_opens=False)
    assert outcome.status == 0
    assert f"note: {out}: 2 failed samples are of rows that this plan leaves out" in outcome.said
    assert f"plan with --results {out} --retry-errors" in outcome.said
    again = run.plan(metafile, plan, "--results", out, "--retry-errors")
    assert "2 failed samples will be tried again" in again.said
    assert "count as done" not in again.said
    outcome = run.caption(plan, out, "--retry-errors")
    assert (outcome.status, "leaves out" in outcome.said) == (0, False)
    assert error_kinds(out) == {"set/8": "no_media"}
