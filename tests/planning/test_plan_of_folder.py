"""A result folder knows its plan: another one is refused, handed over to, or adopted; no sample is ever done twice."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from MetaCaptioner import plan
from MetaCaptioner.errors import UserError
from MetaCaptioner.monitor.progress import Watcher
from MetaCaptioner.planning import shards
from MetaCaptioner.planning.plan_file import read_plan, write_plan
from MetaCaptioner.planning.plan_of_folder import FILE_NAME, handed_over, stated_plan
from MetaCaptioner.records.reader import Word, file_sizes
from MetaCaptioner.records.store import RankResults
from MetaCaptioner.runtime.heartbeat import shared_heartbeat
from MetaCaptioner.verify import main as verify
from tests.helpers import (
    Outcome,
    Row,
    Runner,
    make_read_only,
    picture_rows,
    plan_row,
    records,
    write_annotation,
    write_metafile,
)
from tests.helpers import write_plan as write_rows

SAMPLES = 6


class Project:
    """A dataset of a few pictures, planned for some ranks; its plan and results have names of their own."""

    def __init__(self, folder: Path, run: Runner) -> None:
        self.folder, self.run = folder, run
        self.plan, self.out = folder / "plan.jsonl", folder / "out"
        self.write(SAMPLES)

    def write(self, rows: int, **changes: object) -> None:
        write_annotation(self.folder / "set.json", picture_rows(self.folder / "media", rows))
        entry: Row = {"root": "media", "annotation": "set.json", "task": "Natural", **changes}
        self.metafile = write_metafile(self.folder, set=entry)

    def planned(self, *more: object, ranks: int = 1, plan: Path | None = None) -> Outcome:
        return self.run.plan(self.metafile, plan or self.plan, *more, num_ranks=ranks)

    def caption(self, *more: object, plan: Path | None = None, rank: tuple[int, int] = (0, 1)) -> Outcome:
        return self.run.caption(plan or self.plan, self.out, "--takeover-chunk", 0, *more, rank=rank)

    def contents(self) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file() and "lock" not in path.name
        }


@pytest.fixture
def project(tmp_path: Path, run: Runner) -> Project:
    made = Project(tmp_path, run)
    assert made.planned().status == 0
    return made


def refused(outcome: Outcome, *parts: str) -> None:
    assert outcome.status == 1
    [error] = outcome.errors
    for part in parts:
        assert part in error


def test_another_plan_is_refused_before_work(project: Project) -> None:
    assert project.caption("--max-samples", 2).status == 0
    other = project.folder / "other.jsonl"
    assert project.planned(ranks=3, plan=other).status == 0
    before = project.contents()
    outcome = project.run.caption(other, project.out, engine_opens=False)
    refused(outcome, f"its results are of plan {project.plan}", f"plan {other} is another one", "for 3 ranks, not 1")
    for way in (f"RESULTS={project.out}", "--results", "another OUTPUT", "--adopt-plan"):
        assert way in outcome.said
    assert project.contents() == before


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data_name": "better"}, "dataset 'better' is new; dataset 'set' is not in it"),
        ({"end_idx": 4, "total": 4}, "'set' has 4 rows, not 6"),
        ({"task": "Medical"}, "'set' has task Medical, not Natural"),
        ({"end_idx": 4}, "it has 4 samples, not 6"),
        ({"assign_rank": 5}, "its shards are cut otherwise"),
    ],
)
def test_what_differs_is_told(tmp_path: Path, run: Runner, changes: Row, told: str) -> None:
    annotation = write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", SAMPLES))
    first = plan_row(annotation, tmp_path / "media", 0, SAMPLES)
    run.caption(write_rows(tmp_path / "plan.jsonl", first), tmp_path / "out")
    other = write_rows(tmp_path / "plan.jsonl", first | changes)
    refused(run.caption(other, tmp_path / "out", engine_opens=False), "of the plan that was there before", told)


def test_a_plan_that_is_rewritten_in_mid_run_ends_the_next_worker(project: Project) -> None:
    project.planned(ranks=2)
    assert project.caption("--max-samples", 2, rank=(0, 2)).status == 0
    write_plan(shards.cut(_works(project), 1), project.plan)  # by hand: the planner would refuse
    before = project.contents()
    _, heartbeat = shared_heartbeat()
    project.run.restarted(heartbeat)
    refused(project.caption(rank=(0, 2)), "its results are of the plan that was there before", "for 1 rank, not 2")
    assert project.contents() == before


def _works(project: Project) -> list[plan.DatasetWork]:
    options = plan.PlanOptions(metafile=project.metafile, num_ranks=1, output=Path("x"))
    return plan._survey_metafile(options)[0]


@pytest.mark.parametrize("ranks", [(1, 3), (3, 2), (2, 1)])
def test_under_an_adopted_plan_every_sample_has_one_record(tmp_path: Path, run: Runner, ranks: tuple[int, int]) -> None:
    project, other = Project(tmp_path, run), tmp_path / "other.jsonl"
    project.planned(ranks=ranks[0])
    for rank in range(ranks[0]):
        assert project.caption("--max-samples", 2 * ranks[0], rank=(rank, ranks[0])).status == 0
    before = project.contents()
    project.planned(ranks=ranks[1], plan=other)
    for rank in range(ranks[1]):
        outcome = project.caption("--adopt-plan", plan=other, rank=(rank, ranks[1]))
        assert outcome.status == 0
        assert ("count as done under plan" in outcome.said) == (rank == 0)
    assert len(records(project.out)) == SAMPLES
    for name in before:  # what was there is as it was
        if name.startswith("Rank"):
            assert (project.out / name).read_bytes().startswith(before[name])
    assert project.caption(plan=other, rank=(0, 1)).status == 0  # the word is needed once
    assert len(records(project.out)) == SAMPLES


def test_what_ranks_took_over_under_the_same_plan_is_not_scattered(project: Project) -> None:
    project.planned(ranks=2)
    outcome = project.run.caption(project.plan, project.out, "--takeover-chunk", 1, rank=(0, 2))
    assert "took over" in outcome.said
    (project.out / FILE_NAME).write_text("[1")  # as if an earlier version had left the folder
    assert project.caption(rank=(1, 2)).status == 0
    stated = stated_plan(project.out)
    assert stated is not None
    assert not stated.scattered
    assert len(records(project.out)) == SAMPLES


def test_an_older_folder_whose_records_lie_elsewhere_is_gone_on_with(project: Project) -> None:
    project.planned(ranks=2)
    project.caption("--max-samples", 4, rank=(0, 2))
    [path] = project.out.glob("Rank0*.jsonl")
    path.rename(path.with_name(path.name.replace("Rank0", "Rank7")))
    (project.out / FILE_NAME).unlink()
    for rank in (0, 1):
        assert project.caption(rank=(rank, 2)).status == 0
    assert len(records(project.out)) == SAMPLES


def test_a_refused_run_adopts_nothing(project: Project) -> None:
    project.caption("--max-samples", 2)
    other = project.folder / "other.jsonl"
    project.planned(ranks=2, plan=other)
    changed = ("--engine", "vllm", "--model", "other")
    refused(project.run.caption(other, project.out, *changed, "--adopt-plan", engine_opens=False), "another model")
    assert project.caption(plan=project.plan).status == 0


def test_a_plan_of_what_remains_takes_the_folder_over(project: Project) -> None:
    project.caption("--max-samples", 2)
    rest = project.folder / "rest.jsonl"
    assert project.planned("--results", project.out, ranks=2, plan=rest).status == 0
    refused(project.caption(), f"its results are of plan {rest}", "it has 6 samples, not 4")
    for rank in (0, 1):
        assert project.caption(plan=rest, rank=(rank, 2)).status == 0
    assert len(records(project.out)) == SAMPLES


def test_a_second_launch_by_another_plan_is_refused_while_the_first_has_no_record(project: Project) -> None:
    other = project.folder / "other.jsonl"
    project.planned(ranks=2, plan=other)
    with RankResults(project.out, 1, node=0) as held:
        held.tell(Word("captionpipeline", "scripted", "some", plan="another"))
        refused(project.caption(), "ranks are at work there by another plan")
        assert stated_plan(project.out) is None
    assert project.caption().status == 0


def test_a_rank_that_begins_while_what_remains_is_planned_is_not_planned_around(project: Project) -> None:
    project.caption("--max-samples", 2)
    before, said = file_sizes(project.out), stated_plan(project.out)
    rows, _ = read_plan(project.plan)
    rest = (project.out, before, rows, project.folder / "rest.jsonl")
    worked = pytest.raises(UserError, match="a rank has worked there while")
    with RankResults(project.out, 0, node=0), worked, handed_over(*rest):
        pytest.fail("the plan would have been written")
    assert stated_plan(project.out) == said
    project.caption("--max-samples", 1)  # begun and ended between the planner's look and its plan
    with pytest.raises(UserError, match="a rank has worked there while"), handed_over(*rest):
        pytest.fail("the plan would have been written")


def test_a_plan_that_cannot_be_written_leaves_the_folder_to_the_old_one(project: Project) -> None:
    project.caption("--max-samples", 2)
    (project.folder / "file").touch()
    outcome = project.planned("--results", project.out, plan=project.folder / "file" / "rest.jsonl")
    refused(outcome, "cannot be written")
    assert project.caption().status == 0
    assert len(records(project.out)) == SAMPLES


def test_what_remains_of_results_that_can_only_be_read_is_planned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.caption("--max-samples", 2)
    before = project.contents()
    with monkeypatch.context() as patch:
        make_read_only(patch, project.out)
        outcome = project.planned("--results", project.out, plan=project.folder / "rest.jsonl")
    assert outcome.status == 0
    assert "it is not told that plan" in outcome.said
    assert project.contents() == before


# --- planning without naming the results


def test_a_plan_with_results_is_not_replaced(project: Project) -> None:
    project.caption("--max-samples", 2)
    before = project.plan.read_bytes()
    assert project.planned().status == 0  # the same plan
    refused(project.planned(ranks=2), f"results by it are in {project.out}, of 2 of 6 samples", "for 2 ranks, not 1")
    assert project.plan.read_bytes() == before
    assert project.planned("--results", project.out, ranks=2).status == 0
    project.caption("--max-samples", 2, rank=(0, 2))
    refused(project.planned(ranks=1), "results by it are in")  # after a plan of what remains, too
    project.out.rename(project.folder / "aside")
    assert project.planned(ranks=2).status == 0


def test_naming_other_results_does_not_replace_it_either(project: Project) -> None:
    project.caption("--max-samples", 2)
    before, other = project.plan.read_bytes(), project.folder / "other"
    other.mkdir()
    refused(project.planned("--results", other, ranks=2), f"results by it are in {project.out}")
    assert project.plan.read_bytes() == before
    (project.folder / "link").symlink_to(project.out)
    assert project.planned("--results", project.folder / "link", ranks=2).status == 0


def test_what_remains_of_one_folder_does_not_replace_the_plan_of_another(project: Project) -> None:
    project.caption("--max-samples", 2)
    caption, project.out = project.out, project.folder / "second"
    project.caption("--max-samples", 1)
    before = project.plan.read_bytes()
    refused(project.planned("--results", caption), f"{project.out}, of 1 of 6 samples", "name another --output")
    assert project.plan.read_bytes() == before
    assert stated_plan(caption) == stated_plan(project.out)
    project.caption()
    for ranks in (1, 2):  # also once the plan that the complete one was made by is gone
        assert project.planned("--results", caption, ranks=ranks).status == 0


def test_what_the_user_is_told_to_type_can_be_typed(tmp_path: Path, run: Runner) -> None:
    folder = tmp_path / os.fsdecode(b"it's a $HOME\n\xff\xc3\xa4")
    folder.mkdir()
    annotation = write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    plan = write_rows(folder / "plan.jsonl", plan_row(annotation, tmp_path / "media", 0, 2))
    run.caption(plan, folder, "--max-samples", 1)
    other = write_rows(folder / "other.jsonl", plan_row(annotation, tmp_path / "media", 0, 2, rank=1))
    [error] = run.caption(other, folder).errors
    typed = re.search(r"\((RESULTS=.*), --results\)", error)
    assert typed
    shell = ["bash", "-c", f'{typed[1]} && printf %s "$RESULTS"']
    assert subprocess.run(shell, capture_output=True, check=True).stdout == os.fsencode(folder)


@pytest.mark.parametrize("gone", ["plan", "records"])
def test_a_plan_that_is_no_longer_wanted_is_replaced(project: Project, gone: str) -> None:
    project.caption("--max-samples", 2)
    for path in [project.plan] if gone == "plan" else project.out.glob("Rank*"):
        path.unlink()
    assert project.planned(ranks=2).status == 0
    if gone == "plan":  # but its results are not mixed with others
        refused(project.caption(rank=(0, 2)), "its results are of the plan that was there before")


def test_a_plan_whose_results_are_complete_is_replaced(project: Project) -> None:
    project.caption()
    assert project.planned(ranks=2).status == 0
    refused(project.caption(), "its results are of the plan that was there before")


def test_two_projects_with_one_default_plan_do_not_land_in_one_folder(project: Project) -> None:
    project.caption("--max-samples", 2)
    other = project.folder / "other"
    other.mkdir()
    theirs = Project(other, project.run)
    refused(theirs.planned(plan=project.plan), "'set' has annotation", "results by it are in")
    theirs.planned()
    theirs.out = project.out
    refused(theirs.caption(), "'set' has annotation")


def test_what_a_folder_says_may_be_anything(project: Project) -> None:
    project.caption("--max-samples", 2)
    for nonsense in (b"", b"{}", b"[" * 100_000, b"\xff", b'{"plan": 1}'):
        (project.out / FILE_NAME).write_bytes(nonsense)
        assert stated_plan(project.out) is None
        assert project.caption("--max-samples", 1).status == 0
    assert project.caption().status == 0
    assert len(records(project.out)) == SAMPLES
    for nonsense in (b"", b"{}", b"[" * 100_000, b"\xff"):
        (project.folder / f".{project.plan.name}.folders.json").write_bytes(nonsense)
        assert project.planned().status == 0


# --- a plan that is there already


def test_a_plan_is_kept_if_its_metafile_has_not_changed(project: Project) -> None:
    project.caption("--max-samples", 2)
    before = project.plan.read_bytes()
    outcome = project.planned("--if-missing", ranks=3)
    assert outcome.status == 0
    assert "kept as it is there" in outcome.said
    entries = json.loads(project.metafile.read_text())
    project.metafile.write_text(json.dumps(entries, indent=3))  # says the same
    assert project.planned("--if-missing").status == 0
    assert project.plan.read_bytes() == before


@pytest.mark.parametrize("change", ["rows", "entry"])
def test_a_plan_of_another_metafile_is_not_kept_silently(project: Project, change: str) -> None:
    if change == "rows":
        project.write(SAMPLES + 1)
    else:
        project.write(SAMPLES, sample_count=3)
    before = project.plan.read_bytes()
    refused(project.planned("--if-missing"), "was not made from Metafile", "--results")
    assert project.plan.read_bytes() == before


def test_a_plan_is_not_kept_where_all_has_been_moved(project: Project, run: Runner) -> None:
    project.caption("--max-samples", 2)
    moved = project.folder.rename(project.folder.with_name("moved project"))
    metafile, plan, out = (moved / path.name for path in (project.metafile, project.plan, project.out))
    refused(run.plan(metafile, plan, "--if-missing"), f"{project.folder}/set.json, which is not there", "RESULTS=")
    assert run.plan(metafile, plan, "--results", out).status == 0
    assert run.caption(plan, out).status == 0
    assert len(records(out)) == SAMPLES


def test_a_plan_that_does_not_tell_its_metafile_is_kept_with_a_word(project: Project) -> None:
    """One of an earlier version, or written by hand."""
    rows = [json.loads(line) for line in project.plan.read_text().splitlines()]
    write_rows(project.plan, *({key: row[key] for key in row if key != "metafile"} for row in rows))
    outcome = project.planned("--if-missing")
    assert (outcome.status, "does not tell from which Metafile" in outcome.said) == (0, True)


def test_a_plan_may_be_of_a_metafile_that_was_made_from_another(project: Project) -> None:
    derived = project.folder / "derived.json"
    entry = json.loads(project.metafile.read_text())["set"]
    derived.write_text(json.dumps({"set": entry | {"task": "Medical"}}))
    plan, origin = project.folder / "derived.jsonl", ("--made-from", project.metafile, "--if-missing")
    assert project.run.plan(derived, plan, *origin).status == 0
    derived.write_text(json.dumps({"set": entry}))  # made anew from the same
    assert project.run.plan(derived, plan, *origin).status == 0
    project.write(SAMPLES + 1)
    refused(project.run.plan(derived, plan, *origin), f"was not made from Metafile {project.metafile}")


def test_a_plan_is_made_if_it_is_missing(tmp_path: Path, run: Runner) -> None:
    project = Project(tmp_path, run)
    assert project.planned("--if-missing").status == 0
    assert project.plan.exists()


def test_status_and_verify_tell_of_another_plan(project: Project) -> None:
    rest = project.folder / "rest.jsonl"
    project.caption("--max-samples", 2)
    project.planned("--results", project.out, plan=rest)
    project.caption(plan=rest)
    told = project.run.main(verify, "--plan", rest, "--data-folder", project.out)
    assert (told.status, "another one" in told.said) == (0, False)
    told = project.run.main(verify, "--plan", project.plan, "--data-folder", project.out)
    assert (told.status, f"its results are of plan {rest}" in told.said) == (0, True)
    for told_of, notes in ((rest, 0), (project.plan, 1)):
        looked = Watcher(told_of, project.out, window=60, stall_seconds=300).look()
        assert sum("another one" in note for note in looked.notes) == notes


def test_names_that_are_no_utf8_are_told_all_the_same(project: Project) -> None:
    odd = Path(os.fsdecode(os.fsencode(project.folder) + b"/\xff\xfe"))
    odd.mkdir()
    project.out, plan = odd / "out", odd / "plan.jsonl"
    assert project.planned(plan=plan).status == 0
    assert project.caption("--max-samples", 2, plan=plan).status == 0
    assert project.caption(plan=plan).status == 0
    assert len(records(project.out)) == SAMPLES
    assert project.planned(ranks=2).status == 0
    refused(project.caption(), r"\udcff\udcfe/plan.jsonl")
    near = plan_row(Path("../set.json"), Path("../media"), 0, SAMPLES)  # paths from the folder of the plan
    project.out = odd / "near"
    assert project.caption(plan=write_rows(odd / "near.jsonl", near)).status == 0
