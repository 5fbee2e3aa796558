"""Nothing is mixed: what a folder holds is compared with what a run would make."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from MetaCaptioner.agents.prompts import load_prompts
from MetaCaptioner.planning import plan_of_folder
from MetaCaptioner.planning.provenance import FILE_NAME, Provenance, stated
from MetaCaptioner.records.reader import Word
from MetaCaptioner.records.record import Told
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.verify import main as verify
from tests.helpers import (
    FakeEngine,
    Outcome,
    Row,
    Runner,
    all_records,
    names,
    pack,
    picture_rows,
    plan_row,
    records,
    replace_record,
    small_plan,
    write_annotation,
    write_lines,
    write_metafile,
    write_plan,
    write_prompts,
)

WORDS = "--keep counts them as done, --redo takes them out and makes them again; or name another folder"


def other_prompts(folder: Path, prompt: str = "Say what is there.") -> Path:
    agents = [{"name": "summary", "role": "summary", "prompt": prompt}]
    return write_prompts(folder, natural={"domain": "Natural", "description": "Scenes.", "agents": agents})


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("Rank*.jsonl") if path.parent.name != "runs"}


def refused(outcome: Outcome, *parts: str) -> None:
    assert outcome.status == 1
    [error] = outcome.errors
    for part in parts:
        assert part in error


# --- other prompts, another model, another engine


def by_prompts(folder: Path) -> tuple[str, ...]:
    return ("--prompts-dir", str(other_prompts(folder / "prompts")))


def by_length(folder: Path) -> tuple[str, ...]:
    return ("--max-output-tokens", "16")


@pytest.mark.parametrize("changed", [by_prompts, by_length])
def test_results_of_other_prompts_are_counted_and_refused(
    tmp_path: Path, run: Runner, changed: Callable[[Path], tuple[str, ...]]
) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3)
    before = contents(out)
    outcome = run.caption(plan, out, *changed(tmp_path), engine_opens=False)
    was = records(out)["set/0"]["prompts"]
    refused(outcome, f"{out}: 3 of 3 records are not what this run makes: 3 with other prompts ({was}, not ", WORDS)
    assert contents(out) == before
    assert run.caption(plan, out).status == 0
    assert len(records(out)) == 4


def test_the_scripted_engine_does_not_go_on_with_real_captions_nor_these_with_it(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3)
    refused(
        run.caption(plan, out, "--engine", "vllm", "--model", "M", engine_opens=False),
        "3 with another model (scripted, not M), such as set/",
    )
    replace_record(out, "set/1", model="M")
    (out / FILE_NAME).unlink()
    refused(run.caption(plan, out, engine_opens=False), "1 with another model (M, not scripted), such as set/1")


@pytest.mark.parametrize("stage", ["route", "caption", "score"])
def test_every_stage_refuses_and_makes_again(tmp_path: Path, run: Runner, stage: str) -> None:
    plan, captions, out = small_plan(tmp_path), tmp_path / "captions", tmp_path / "out"
    run.caption(plan, captions)
    agent = {"name": "one", "prompt": "Choose: {domains}" if stage == "route" else "Mark: {caption}"}
    changed = other_prompts(tmp_path / "prompts")
    write_prompts(changed, **{"router" if stage == "route" else "judge": {"agent": agent}})

    def make(*flags: object, **how: FakeEngine | bool) -> Outcome:
        if stage == "score":
            return run.score(captions, "--output-dir", out, *flags, **how)
        return (run.route if stage == "route" else run.caption)(plan, out, *flags, **how)

    assert make().status == 0
    first = contents(out)
    refused(make("--prompts-dir", changed, engine_opens=False), "4 with other prompts")
    engine = FakeEngine()
    outcome = make("--prompts-dir", changed, "--redo", engine=engine)
    assert outcome.status == 0
    assert "4 of 4 records are taken out and made again: 4 with other prompts" in outcome.said
    assert engine.samples == names(4)
    assert len(records(out)) == 4
    assert contents(out) != first
    assert make("--prompts-dir", changed, engine_opens=False).status == 0


@pytest.mark.parametrize(("before", "after"), [(4, 2), (1, 3), (3, 1)])
def test_scores_are_made_again_by_any_number_of_processes_that_share_a_rank(
    tmp_path: Path, run: Runner, before: int, after: int
) -> None:
    plan, out = small_plan(tmp_path, 6), tmp_path / "out"
    run.caption(plan, out)
    for number in range(before):
        assert run.score(out, rank=(number, before)).status == 0
    judged = write_prompts(tmp_path / "judge", judge={"agent": {"name": "one", "prompt": "Mark: {caption}"}})
    for number in range(after):
        assert run.score(out, "--prompts-dir", judged, rank=(number, after), engine_opens=False).status == 1
    for number in range(after):
        assert run.score(out, "--prompts-dir", judged, "--redo", rank=(number, after)).status == 0
    assert len(records(out / "score")) == 6
    assert len({record["prompts"] for record in records(out / "score").values()}) == 1
    assert run.main(verify, "--plan", plan, "--data-folder", out, "--scores").status == 0


def test_prompts_that_a_stage_does_not_use_do_not_matter_to_it(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    run.score(out)
    judged = write_prompts(tmp_path / "judge", judge={"agent": {"name": "one", "prompt": "Mark: {caption}"}})
    assert run.caption(plan, out, "--prompts-dir", judged, engine_opens=False).status == 0
    assert run.score(out, "--prompts-dir", other_prompts(tmp_path / "agents"), engine_opens=False).status == 0


def test_what_is_kept_counts_as_done_and_verify_tells_of_the_mixture(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    run.caption(plan, out, "--max-samples", 3)
    outcome = run.caption(plan, out, *changed, "--keep")
    assert outcome.status == 0
    assert "3 of 3 records are kept: 3 with other prompts" in outcome.said
    assert len({record["prompts"] for record in records(out).values()}) == 2
    told = run.main(verify, "--plan", plan, "--data-folder", out)
    assert told.status == 1
    assert "NOT complete" in told.said
    assert "1  records made otherwise than most: 1 records with other prompts" in told.said
    assert run.main(verify, "--plan", plan, "--data-folder", out, "--keep").status == 0
    refused(run.caption(plan, out, engine_opens=False), "1 with other prompts")
    assert planned(run, tmp_path)[0].status == 0  # the folder says what was kept


def test_failures_that_are_tried_again_do_not_count(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    (tmp_path / "media" / "2.png").write_bytes(b"")
    run.caption(plan, out)
    good = [record for record in all_records(out) if record["status"] == "ok"]
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    refused(run.caption(plan, out, *changed, "--retry-errors", engine_opens=False), "3 of 4 records")
    assert [record for record in all_records(out) if record["status"] == "ok"] == good
    [path] = out.glob("Rank*")
    write_lines(path, [record for record in all_records(out) if record["status"] != "ok"])
    refused(run.caption(plan, out, *changed, engine_opens=False), "1 of 1 records")
    assert run.caption(plan, out, *changed, "--retry-errors", "--max-error-rate", 1).status == 0
    assert len({record["prompts"] for record in records(out).values()}) == 1


def as_of_an_earlier_version(out: Path, prompts: str) -> None:
    """Records that do not name their stage, in a folder that does not say what they are made with or by which plan."""
    for path in out.glob("Rank*"):
        lines = [json.loads(line) | {"prompts": prompts} for line in path.read_text().splitlines()]
        write_lines(path, [{key: value for key, value in record.items() if key != "stage"} for record in lines])
    (out / FILE_NAME).unlink()
    (out / plan_of_folder.FILE_NAME).unlink()


@pytest.mark.parametrize("begun", [0, 1])
def test_results_of_an_earlier_version_are_gone_on_with(tmp_path: Path, run: Runner, begun: int) -> None:
    rows = picture_rows(tmp_path / "media", 4)
    annotation = write_annotation(tmp_path / "set.json", rows)
    halves = [plan_row(annotation, tmp_path / "media", 2 * rank, 2 * rank + 2, rank) for rank in (0, 1)]
    plan, out = write_plan(tmp_path / "plan.jsonl", *halves), tmp_path / "out"
    chunk = ("--takeover-chunk", 0)
    run.caption(plan, out, *chunk, rank=(begun, 2))
    run.caption(plan, out, *chunk, "--max-samples", 1, rank=(1 - begun, 2))
    as_of_an_earlier_version(out, load_prompts().digest())
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    refused(run.caption(plan, out, *chunk, *changed, rank=(begun, 2)), "2 of 2 records", "2 with other prompts")
    for path in out.glob(f"Rank{1 - begun}_*"):
        path.unlink()
    refused(run.caption(plan, out, *chunk, *changed, rank=(1 - begun, 2)), "other ranks' records there are made with")
    for number in (0, 1):
        assert run.caption(plan, out, *chunk, rank=(number, 2)).status == 0
    assert len(records(out)) == 4
    assert run.main(verify, "--plan", plan, "--data-folder", out).status == 0
    assert planned(run, tmp_path)[0].status == 0
    as_of_an_earlier_version(out, "others")
    refused(run.caption(plan, out, *chunk, rank=(0, 2)), "2 with other prompts")


def test_a_model_folder_may_be_named_in_several_ways(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "x").mkdir()
    made = Provenance("captionpipeline", str(folder), "p")
    for name in (f"{folder}/", f"{tmp_path}/./model", str(tmp_path / "x" / ".." / "model")):
        assert not list(made.differences(Told("s", model=name, prompts="p")))
    assert list(made.differences(Told("s", model=str(tmp_path / "other"), prompts="p")))
    assert list(Provenance("s", "org/a", "p").differences(Told("s", model="org/a/", prompts="p")))


# --- two launches


def test_a_rank_without_records_does_not_begin_beside_others_that_were_made_otherwise(
    tmp_path: Path, run: Runner
) -> None:
    rows = picture_rows(tmp_path / "media", 4)
    annotation = write_annotation(tmp_path / "set.json", rows)
    halves = [plan_row(annotation, tmp_path / "media", 2 * rank, 2 * rank + 2, rank) for rank in (0, 1)]
    plan, out = write_plan(tmp_path / "plan.jsonl", *halves), tmp_path / "out"
    chunk = ("--takeover-chunk", 0)
    run.caption(plan, out, *chunk, rank=(0, 2))
    changed = (*chunk, "--prompts-dir", other_prompts(tmp_path / "prompts"))
    refused(run.caption(plan, out, *changed, rank=(1, 2), engine_opens=False), "other ranks' records there are made")
    (out / FILE_NAME).unlink()  # as a version that made none would leave it
    refused(run.caption(plan, out, *changed, rank=(1, 2), engine_opens=False), "other ranks' records there are made")
    for rank in (1, 0):
        assert run.caption(plan, out, *changed, "--redo", rank=(rank, 2)).status == 0
    assert len(records(out)) == 4
    assert len({record["prompts"] for record in records(out).values()}) == 1


def test_a_launch_beside_one_that_has_no_record_yet_is_refused(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path, assign_rank=1), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 1)
    [path] = out.glob("Rank*")
    path.unlink()  # begun, but nothing written: the other launch still loads its model
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    other = write_plan(tmp_path / "other.jsonl", plan_row(tmp_path / "set.json", tmp_path / "media", 0, 4))
    with RankResults(out, 1, node=0) as held:
        made = stated(out)[-1]
        held.tell(Word(made.stage, made.model, made.prompts))
        refused(run.caption(other, out, *changed, rank=(0, 2), engine_opens=False), "with other prompts")
    assert run.caption(other, out, *changed, rank=(0, 2)).status == 0


def test_a_run_that_made_nothing_binds_nobody(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    (tmp_path / "media").rename(tmp_path / "moved")
    assert run.caption(plan, out).status == 1
    assert (out / FILE_NAME).exists()
    (tmp_path / "moved").rename(tmp_path / "media")
    assert run.caption(plan, out, "--prompts-dir", other_prompts(tmp_path / "prompts")).status == 0
    [made] = stated(out)
    assert made.fields() == {key: records(out)["set/0"][key] for key in ("stage", "model", "prompts")}


def test_ranks_that_begin_together_do_not_take_each_other_for_a_run_that_made_nothing(
    tmp_path: Path, run: Runner
) -> None:
    """As after a model that does not fit: nothing is there but what the folder says, and all ranks begin at once."""
    plan, out = small_plan(tmp_path), tmp_path / "out"
    (tmp_path / "media").rename(tmp_path / "moved")
    assert run.caption(plan, out).status == 1
    (tmp_path / "moved").rename(tmp_path / "media")
    made, shared = Word("captionpipeline", "scripted", "others"), Word("captionpipeline", "scripted", "shared")
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    with RankResults(out, 1, node=0) as beside, RankResults(out, 2, node=0, part=3, parts=4) as sharing:
        beside.tell(made)
        assert beside.told_by_others() == []
        sharing.tell(shared)
        assert beside.told_by_others() == [shared]
        assert run.caption(plan, out, *changed).status == 0
    with RankResults(out, 1, node=0), RankResults(out, 2, node=0, part=3, parts=4) as sharing:
        assert sharing.told_by_others() == []  # what an earlier process told is gone


def test_a_stage_that_made_nothing_binds_no_other(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    (tmp_path / "media").rename(tmp_path / "moved")
    assert run.route(plan, out).status == 1
    (tmp_path / "moved").rename(tmp_path / "media")
    assert run.caption(plan, out).status == 0


def test_nothing_but_scores_goes_into_the_score_folder(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    for make in (run.caption, run.route):
        for word in ((), ("--keep",), ("--redo",)):
            refused(make(plan, out / "score", *word, engine_opens=False), f"is for the scores of the results in {out}")
    assert run.score(out).status == 0
    assert run.caption(plan, tmp_path / "score").status == 0


def test_a_rank_without_records_does_not_begin_beside_another_stage(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 4)
    annotation = write_annotation(tmp_path / "set.json", rows)
    halves = [plan_row(annotation, tmp_path / "media", 2 * rank, 2 * rank + 2, rank) for rank in (0, 1)]
    plan, out = write_plan(tmp_path / "plan.jsonl", *halves), tmp_path / "out"
    run.route(plan, out, "--takeover-chunk", 0, rank=(0, 2))
    for word in ((), ("--keep",), ("--redo",)):
        outcome = run.caption(plan, out, *word, rank=(1, 2), engine_opens=False)
        refused(outcome, "holds results of inferdomain, not of captionpipeline; name another")


# --- media


def renumbered(folder: Path) -> list[Row]:
    """The pictures of `small_plan`, after one was put before them."""
    return [{"id": "new", "image": "3.png"}, *({"id": n, "image": f"{n}.png"} for n in range(3))]


def test_renumbered_rows_are_refused_or_made_again(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3)
    write_annotation(tmp_path / "set.json", renumbered(tmp_path))
    refused(
        run.caption(plan, out, engine_opens=False),
        "3 of other media than their rows name now, such as set/",
        WORDS,
    )
    told = run.main(verify, "--plan", plan, "--data-folder", out)
    assert told.status == 1
    assert "3  records of other media than their rows name now: set/" in told.said
    assert "set/0 (of 0.png, the row names 3.png)" in told.said
    assert run.caption(plan, out, "--redo").status == 0
    found = records(out)
    assert {name: record["image"] for name, record in found.items()} == {
        f"set/{n}": row["image"] for n, row in enumerate(renumbered(tmp_path))
    }
    assert run.main(verify, "--plan", plan, "--data-folder", out, "--check-media", 10).status == 0


def test_rows_that_are_gone_are_told(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    write_annotation(tmp_path / "set.json", [{"image": "0.png"}])
    outcome = run.caption(plan, out, engine_opens=False)
    assert outcome.status == 1
    assert (
        "3 of 4 records are not what this run makes: 3 of rows that are not there any more, such as set/"
        in outcome.said
    )


def test_members_of_other_tar_files_are_other_media(tmp_path: Path, run: Runner) -> None:
    root = tmp_path / "media"
    picture_rows(root, 2)
    tars = [pack(root / f"{n}.tar", root / f"{n}.png", names=["same.png"])["same.png"] for n in (0, 1)]
    plan, out = small_plan(tmp_path, [{"image": "same.png", "tar": tar} for tar in tars]), tmp_path / "out"
    run.caption(plan, out, "--decode-threads", 1)  # so that the first record is of the first row
    assert run.caption(plan, out, engine_opens=False).status == 0
    write_annotation(tmp_path / "set.json", [{"image": "same.png", "tar": tar} for tar in reversed(tars)])
    refused(run.caption(plan, out, engine_opens=False), "2 of other media", ".tar[same.png], the row names ")


def test_failed_rows_that_named_no_media_are_no_other_media(tmp_path: Path, run: Runner) -> None:
    rows: list[Row] = [
        *picture_rows(tmp_path / "media", 2),
        {"image": "1.png", "video": "1.mp4"},
        {"image": "a.png", "task": "?"},
    ]
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    run.caption(plan, out, "--max-error-rate", 1)
    assert run.caption(plan, out, engine_opens=False).status == 0


def test_names_without_end_are_cut_in_messages(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    write_annotation(tmp_path / "set.json", [{"image": 900 * "long"}] * 4)
    outcome = run.caption(plan, out, engine_opens=False)
    refused(outcome, "4 of other media than their rows name now", "the row names longlong")
    assert len(outcome.said) < 1000


def test_a_renamed_dataset_is_recognised(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out, "--max-samples", 3)
    small_plan(tmp_path, data_name="better")
    refused(run.caption(plan, out, engine_opens=False), "dataset 'better' is new; dataset 'set' is not in it")
    adopted = run.caption(plan, out, "--adopt-plan", engine_opens=False)
    refused(adopted, "3 of the dataset 'set', which is 'better' now (its old name")
    told = run.main(verify, "--plan", plan, "--data-folder", out)
    assert "3  records of a dataset that has another name now: set/" in told.said
    assert told.status == 1
    small_plan(tmp_path)
    assert run.caption(plan, out, "--max-samples", 1).status == 0  # its old name, as the message says
    small_plan(tmp_path, data_name="better")
    assert run.caption(plan, out, "--redo", "--adopt-plan").status == 0
    assert set(records(out)) == names(4, "better")


def test_another_dataset_over_the_same_pictures_is_not_taken_for_renamed(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"
    run.caption(plan, out)
    shutil.copy(tmp_path / "set.json", tmp_path / "questions.json")
    other = write_plan(tmp_path / "other.jsonl", plan_row(tmp_path / "questions.json", tmp_path / "media", 0, 4))
    assert run.caption(other, out, "--adopt-plan").status == 0
    shutil.copytree(tmp_path / "media", tmp_path / "copy")
    moved = plan_row(tmp_path / "set.json", tmp_path / "copy", 0, 4, data_name="third")
    assert run.caption(write_plan(tmp_path / "moved.jsonl", moved), out, "--adopt-plan").status == 0


# --- the planner


def planned(run: Runner, folder: Path, *more: object) -> tuple[Outcome, list[Row]]:
    write_metafile(folder, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    outcome = run.plan(folder / "Metafile.json", folder / "again.jsonl", "--results", folder / "out", *more)
    lines = (folder / "again.jsonl").read_text().splitlines() if outcome.status == 0 else []
    return outcome, [json.loads(line) for line in lines]


def test_the_planner_refuses_results_of_other_media(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out", "--max-samples", 3)
    write_annotation(tmp_path / "set.json", renumbered(tmp_path))
    outcome, _ = planned(run, tmp_path)
    refused(outcome, "3 of other media than their rows name now, such as set/", "--keep", "--redo")
    outcome, [kept, *_] = planned(run, tmp_path, "--keep")
    assert (kept["start_idx"], kept["end_idx"], kept["processed"]) == (3, 4, 3)
    outcome, [again] = planned(run, tmp_path, "--redo")
    assert "3 records are taken out" in outcome.said
    assert (again["start_idx"], again["end_idx"], again["processed"]) == (0, 4, 0)
    assert run.caption(tmp_path / "again.jsonl", tmp_path / "out").status == 0
    assert {name: record["image"] for name, record in records(tmp_path / "out").items()} == {
        f"set/{n}": row["image"] for n, row in enumerate(renumbered(tmp_path))
    }


def test_the_planner_recognises_a_renamed_dataset(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out")
    write_metafile(tmp_path, better={"root": "media", "annotation": "set.json", "task": "Natural"})
    again = (tmp_path / "Metafile.json", tmp_path / "again.jsonl", "--results", tmp_path / "out")
    refused(run.plan(*again), "4 of the dataset 'set', which is 'better' now (its old name")
    outcome = run.plan(*again, "--redo")
    assert outcome.status == 0
    assert "4 records are taken out" in outcome.said
    assert not records(tmp_path / "out")


def test_the_planner_refuses_records_of_rows_that_are_gone(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out")
    write_annotation(tmp_path / "set.json", [{"image": "0.png"}])
    refused(planned(run, tmp_path)[0], "3 of rows that are not there any more, such as set/")
    assert planned(run, tmp_path, "--redo")[0].status == 0
    assert set(records(tmp_path / "out")) == {"set/0"}


def test_the_planner_tells_of_records_of_rows_that_are_left_out(tmp_path: Path, run: Runner) -> None:
    run.caption(small_plan(tmp_path), tmp_path / "out")
    write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural", "sample_count": 1})
    outcome = run.plan(tmp_path / "Metafile.json", tmp_path / "again.jsonl", "--results", tmp_path / "out")
    assert outcome.status == 0
    assert "3 records are of rows of 'set' that sample_count leaves out" in outcome.said


def test_records_of_other_prompts_of_rows_that_sample_count_leaves_out_are_taken_out_too(
    tmp_path: Path, run: Runner
) -> None:
    """Else a run with --redo and the planner would send the user from one to the other."""
    rows = picture_rows(tmp_path / "media", 4)
    annotation = write_annotation(tmp_path / "set.json", rows)
    halves = [plan_row(annotation, tmp_path / "media", 2 * rank, 2 * rank + 2, rank) for rank in (0, 1)]
    plan, out = write_plan(tmp_path / "plan.jsonl", *halves), tmp_path / "out"
    run.caption(plan, out)
    write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural", "sample_count": 1})
    again = (tmp_path / "Metafile.json", tmp_path / "again.jsonl", "--results", out)
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    assert run.plan(*again).status == 0
    refused(run.caption(again[1], out, *changed, "--redo"), "Plan again with --results", "--redo first")
    refused(run.plan(*again), "4 with other prompts")
    assert run.plan(*again, "--redo").status == 0
    assert not records(out)
    assert run.caption(again[1], out, *changed).status == 0
    assert set(records(out)) == names(1)


def test_the_planner_takes_no_record_for_done_that_is_not_made_as_the_folder_says(tmp_path: Path, run: Runner) -> None:
    """Once a run with other prompts has been told to make again what a plan leaves out, the planner knows them."""
    out = tmp_path / "out"
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    run.caption(small_plan(tmp_path), out, "--max-samples", 3)
    assert planned(run, tmp_path)[0].status == 0
    before = contents(out)
    refused(
        run.caption(tmp_path / "again.jsonl", out, *changed, "--redo", engine_opens=False),
        "--redo would take out 3 records of rows that the plan leaves out as done: 3 with other prompts",
        f"Plan again with --results {out} --redo first",
    )
    assert contents(out) == before
    refused(planned(run, tmp_path)[0], "3 with other prompts", "--keep", "--redo")
    assert contents(out) == before
    _, [row] = planned(run, tmp_path, "--redo")
    assert (row["start_idx"], row["end_idx"]) == (0, 4)
    assert run.caption(tmp_path / "again.jsonl", out, *changed).status == 0
    assert len(records(out)) == 4
    assert len({record["prompts"] for record in records(out).values()}) == 1


def test_records_of_datasets_that_are_not_planned_are_not_taken_out(tmp_path: Path, run: Runner) -> None:
    out = tmp_path / "out"
    run.caption(small_plan(tmp_path), out)
    write_annotation(tmp_path / "more.json", picture_rows(tmp_path / "more", 2))
    more = write_plan(tmp_path / "more.jsonl", plan_row(tmp_path / "more.json", tmp_path / "more", 0, 2))
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    before = contents(out)
    refused(
        run.caption(more, out, *changed, "--redo", "--adopt-plan", engine_opens=False),
        "--redo would take out 4 records of rows",
        "with all datasets and rows that have records there; or name another folder",
    )
    assert contents(out) == before


def test_what_earlier_ranks_left_is_made_again_too(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 4)
    annotation = write_annotation(tmp_path / "set.json", rows)
    halves = [plan_row(annotation, tmp_path / "media", 2 * rank, 2 * rank + 2, rank) for rank in (0, 1)]
    run.caption(write_plan(tmp_path / "two.jsonl", *halves), tmp_path / "out")
    one = write_plan(tmp_path / "one.jsonl", plan_row(annotation, tmp_path / "media", 0, 4))
    changed = ("--prompts-dir", other_prompts(tmp_path / "prompts"))
    assert run.caption(one, tmp_path / "out", *changed, "--redo", "--adopt-plan").status == 0
    assert len(records(tmp_path / "out")) == 4
    assert len({record["prompts"] for record in records(tmp_path / "out").values()}) == 1


@pytest.mark.parametrize("flag", ["--keep", "--redo"])
def test_a_word_about_results_needs_results(tmp_path: Path, run: Runner, flag: str) -> None:
    small_plan(tmp_path)
    write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    assert run.plan(tmp_path / "Metafile.json", tmp_path / "again.jsonl", flag).status == 2


def test_one_word_only(tmp_path: Path, run: Runner) -> None:
    assert run.caption(small_plan(tmp_path), tmp_path / "out", "--keep", "--redo").status == 2
