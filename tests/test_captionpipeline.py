"""`captionpipeline --score`: the judge follows in the same process, over what the rank has captioned."""

from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.errors import EngineDead
from MetaCaptioner.metrics.usage import runs_of
from MetaCaptioner.records.gone_rows import note_gone_rows
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.runtime.heartbeat import Heartbeat
from tests.helpers import (
    FakeEngine,
    Runner,
    agent_of,
    all_records,
    completion,
    error_kinds,
    names,
    picture_rows,
    plan_row,
    records,
    small_plan,
    write_annotation,
    write_plan,
)


def two_ranks(folder: Path, rows: int = 6) -> Path:
    """A plan of two ranks, one row of which is the second one's."""
    root = folder / "media"
    annotation = write_annotation(folder / "set.json", picture_rows(root, rows))
    ranges = ((0, 0, rows - 1), (1, rows - 1, rows))
    return write_plan(
        folder / "plan.jsonl", *(plan_row(annotation, root, start, end, rank) for rank, start, end in ranges)
    )


def test_the_judge_follows_with_the_engine_that_is_loaded(tmp_path: Path, run: Runner) -> None:
    plan, out, engine = small_plan(tmp_path, 3), tmp_path / "out", FakeEngine()
    outcome = run.caption(plan, out, "--score", engine=engine)
    assert outcome.status == 0
    assert outcome.said.count("loading the scripted engine") == 1
    assert set(records(out)) == set(records(out / "score")) == names(3)
    assert {record["stage"] for record in records(out / "score").values()} == {"inferscore"}
    assert [each.stage for each in runs_of([out, out / "score"])] == ["captionpipeline", "inferscore"]
    again = run.caption(plan, out, "--score", engine_opens=False)
    assert again.status == 0
    assert "captionpipeline: 3 of 3 samples are done, 0 to do" in again.said
    assert "inferscore: 3 of 3 samples are done, 0 to do" in again.said
    assert run.score(out, engine_opens=False).status == 0  # as if that had been a run of its own


def test_a_rank_scores_what_it_captioned_while_others_are_not_there_yet(tmp_path: Path, run: Runner) -> None:
    plan, out = two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, out, "--score", "--takeover-chunk", 0, rank=(0, 2)).status == 0
    assert set(records(out / "score")) == names(5)
    assert run.caption(plan, out, "--score", "--takeover-chunk", 0, rank=(1, 2)).status == 0
    assert set(records(out / "score")) == names(6)
    assert {path.name[:5] for path in (out / "score").glob("Rank*")} == {"Rank0", "Rank1"}


def test_a_rank_without_rows_of_its_own_has_nothing_to_score(tmp_path: Path, run: Runner) -> None:
    outcome = run.caption(small_plan(tmp_path, 2), tmp_path / "out", "--score", rank=(1, 2), engine_opens=False)
    assert outcome.status == 0
    assert "inferscore: 0 of 0 samples are done" in outcome.said


def test_what_a_rank_takes_over_it_scores(tmp_path: Path, run: Runner) -> None:
    plan, out = two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, out, "--score", "--takeover-chunk", 1, rank=(1, 2)).status == 0
    taken = set(records(out))
    assert taken > {"set/5"}
    assert set(records(out / "score")) == taken
    assert run.caption(plan, out, "--score", "--takeover-chunk", 1, rank=(0, 2)).status == 0
    assert set(records(out)) == set(records(out / "score")) == names(6)


def test_captions_that_other_plans_have_left_are_scored_once(tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    plan = two_ranks(tmp_path)
    for rank in range(2):
        run.caption(plan, out, "--takeover-chunk", 0, rank=(rank, 2))
    annotation, root = tmp_path / "set.json", tmp_path / "media"
    one = write_plan(tmp_path / "one.jsonl", plan_row(annotation, root, 0, 6))
    assert run.caption(one, out, "--score", "--adopt-plan", rank=(0, 1)).status == 0
    assert len(all_records(out / "score")) == 6
    assert set(records(out / "score")) == names(6)


@pytest.mark.parametrize("dies_at", ["agents", "judge"])
def test_another_worker_goes_on_in_either_stage(tmp_path: Path, run: Runner, dies_at: str) -> None:
    plan, out, heartbeat = small_plan(tmp_path, 4), tmp_path / "out", Heartbeat()

    asked: list[str] = []

    def hook(request: Request) -> None:
        asked.append("judge" if agent_of(request) == "judge" else "agents")
        if asked[-1] == dies_at and asked.count(dies_at) > 2:
            raise EngineDead("it is gone")

    run.restarted(heartbeat)
    heartbeat.deaths = heartbeat.begun = 0
    dying = run.caption(plan, out, "--score", "--in-flight", 1, engine=FakeEngine(hook))
    assert dying.status == EngineDead.exit_status
    assert heartbeat.begun == (1 if dies_at == "agents" else 2)
    run.restarted(heartbeat)
    assert run.caption(plan, out, "--score", engine=FakeEngine()).status == 0
    assert set(records(out)) == set(records(out / "score")) == names(4)
    assert not error_kinds(out)
    assert not error_kinds(out / "score")


def test_what_failed_is_not_scored_and_what_is_gone_neither(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 4), tmp_path / "out"
    (tmp_path / "media" / "1.png").write_bytes(b"nothing")
    run.caption(plan, out)
    note_gone_rows(out, {"set": [2, 3]})
    outcome = run.caption(plan, out, "--score", engine=FakeEngine())
    assert "inferscore: 0 of 1 samples are done, 1 to do" in outcome.said
    assert set(records(out / "score")) == {"set/0"}
    note_gone_rows(out, {"set": [3]})
    assert run.caption(plan, out, "--score", engine=FakeEngine()).status == 0
    assert set(records(out / "score")) == {"set/0", "set/2"}


def test_a_caption_that_is_made_again_is_marked_again(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, 2), tmp_path / "out"
    run.caption(plan, out, "--score")

    def hook(request: Request) -> Completion | None:
        return completion("Made anew.") if agent_of(request) == "summary" else None

    run.caption(plan, out, "--score", "--redo", "--max-output-tokens", 99, engine=FakeEngine(hook))
    marked = {record["caption_hash"] for record in records(out / "score").values()}
    assert marked == {caption_hash("Made anew.")}


def test_a_second_pass_is_scored_by_itself(tmp_path: Path, run: Runner) -> None:
    outcome = run.second_pass(tmp_path / "in", tmp_path / "out", "--score")
    assert outcome.status == 2
    assert outcome.said == "error: --score goes with --plan; score a second pass by itself (metacaptioner score)\n"
