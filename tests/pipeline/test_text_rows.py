"""An annotation file whose end is rows of text alone, as mixtures for training have them, from plan to verify."""

import json
from pathlib import Path

import pytest

from tests.helpers import (
    Outcome,
    Row,
    Runner,
    error_kinds,
    names,
    picture_rows,
    records,
    write_annotation,
    write_metafile,
)
from tests.pipeline.commands import module, script, succeed
from tests.pipeline.commands import run as run_command

PICTURES, ROWS = 350, 600


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """600 rows, the last 250 of them without media, and their Metafile."""
    rows: list[Row] = picture_rows(tmp_path / "media", PICTURES)
    rows += [{"id": n, "conversations": [{"from": "human", "value": "Why?"}]} for n in range(PICTURES, ROWS)]
    write_annotation(tmp_path / "set.json", rows)
    return write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "length": ROWS, "task": "Natural"})


def verify(plan: Path, out: Path, *flags: str) -> tuple[int, str]:
    done = run_command(script("verify", "--plan", plan, "--data-folder", out, *flags))
    return done.returncode, done.stdout


def caption(run: Runner, data: Path, num_ranks: int) -> tuple[Path, Path, list[Outcome]]:
    plan, out = data.parent / "plan.jsonl", data.parent / "out"
    told = run.plan(data, plan, num_ranks=num_ranks)
    assert told.status == 0
    assert "250 rows have neither image nor video and are left out: no stage can use them" in told.said
    assert "600 samples of 1 dataset, 250 of them rows that no stage can use, in " in told.said
    return plan, out, [run.caption(plan, out, rank=(rank, num_ranks)) for rank in range(num_ranks)]


def test_all_is_captioned_in_one_start_and_the_rest_is_told_apart(data: Path, run: Runner) -> None:
    plan, out, [outcome] = caption(run, data, 1)
    assert outcome.status == 0
    assert "350 samples: 350 ok, 0 errors; 250 rows without media left out; " in outcome.said
    assert error_kinds(out) == {f"set/{n}": "no_media" for n in range(PICTURES, ROWS)}
    assert set(records(out)) == names(ROWS)
    for flags in ((), ("--fail-on-errors",)):
        status, said = verify(plan, out, *flags)
        assert status == 0
        assert f"{out}: complete: 600 samples expected, 350 ok" in said
        assert "250  rows that no stage can use, with neither image nor video (no fault): set/350: no_media" in said
        assert "failed samples" not in said
    looked = json.loads(succeed([*module("status"), "--plan", plan, "--output-dir", out, "--json"]))
    told = {name: looked[name] for name in ("done", "ok", "failed", "without_media", "errors")}
    assert told == {"done": 600, "ok": 350, "failed": 0, "without_media": 250, "errors": {"no_media": 250}}
    assert "without media 250" in succeed([*module("status"), "--plan", plan, "--output-dir", out])
    assert run.score(out).status == 0
    said = succeed(script("filterd_by_score", "--data-folder", out))
    assert " of 350 captions\n" in said
    assert "250 rows without media are left out\n" in said
    assert verify(plan, out, "--scores")[0] == 0


def test_they_are_no_load_of_any_rank(data: Path, run: Runner) -> None:
    plan, out, outcomes = caption(run, data, 4)
    assert [outcome.status for outcome in outcomes] == [0] * 4
    rows = [json.loads(line) for line in plan.read_text().splitlines()]
    loads = [row["cost"] for row in rows]
    assert max(loads) < 1.02 * min(loads)
    assert verify(plan, out)[0] == 0


def test_they_are_not_tried_again(data: Path, run: Runner) -> None:
    plan, out, _ = caption(run, data, 1)
    before = records(out)
    assert run.caption(plan, out, "--retry-errors", engine_opens=False).status == 0
    again = run.plan(data, data.parent / "again.jsonl", "--results", out, "--retry-errors")
    assert "0 failed samples will be tried again" in again.said
    assert "0 samples of 1 dataset (600 of 600 are done) in " in again.said
    assert records(out) == before


@pytest.mark.parametrize("by_planner", [False, True])
def test_a_row_that_names_media_by_now_is_tried_again(data: Path, run: Runner, by_planner: bool) -> None:
    plan, out, _ = caption(run, data, 1)
    rows = json.loads((data.parent / "set.json").read_text())
    rows[400] |= {"image": "7.png"}
    write_annotation(data.parent / "set.json", rows)
    more = ["--retry-errors"]
    if by_planner:
        told = run.plan(data, plan, "--results", out, *more)
        assert "1 failed samples will be tried again" in told.said
        more = []
    assert run.caption(plan, out, *more).status == 0
    assert error_kinds(out) == {f"set/{n}": "no_media" for n in range(PICTURES, ROWS) if n != 400}
    assert records(out)["set/400"]["image"] == "7.png"
    assert set(records(out)) == names(ROWS)
