"""The plans of a chain, made by a planner that does as a test says."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from MetaCaptioner.launch.slurm.plans import PlanOfChain
from tests.helpers import picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import run

METAFILE, WHOLE = Path("/m.json"), Path("/whole.json")


class Planner:
    """Writes the plan, where it is told to, and ends with a status."""

    def __init__(self, status: int = 0, writes: bool = True) -> None:
        self.status, self.writes = status, writes
        self.calls: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> int:
        self.calls.append(command[3:])
        if self.writes:
            plan = Path(command[command.index("--output") + 1])
            new = plan.with_name("new")
            new.write_text("made")
            new.replace(plan)
        return self.status


def of_chain(plan: Path, results: Path | None = None, replan: bool = False) -> PlanOfChain:
    return PlanOfChain(plan, METAFILE, WHOLE, results, 4, replan, ("--prompts-dir", "p"))


def test_a_plan_is_made_of_what_the_results_do_not_hold(tmp_path: Path) -> None:
    planner = Planner()
    told = ("--num-ranks", "4", "--output", str(tmp_path / "plan"), "--metafile", "/m.json")
    made = ("--made-from", "/whole.json", "--prompts-dir", "p")
    assert of_chain(tmp_path / "plan", tmp_path / "absent").make_once(planner) == 0
    assert of_chain(tmp_path / "plan", tmp_path, replan=True).make_once(planner) == 0
    assert planner.calls == [[*told, *made], [*told, "--results", str(tmp_path), *made]]


@pytest.mark.parametrize(("status", "says"), [(0, 0), (1, 1), (2, 1), (-15, 1)])
def test_a_plan_that_is_there_must_be_of_the_whole_metafile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, says: int
) -> None:
    (tmp_path / "plan").write_text("mine")
    planner = Planner(status, writes=False)
    assert of_chain(tmp_path / "plan").make_once(planner) == says
    [command] = planner.calls
    assert command[4:] == ["--metafile", "/whole.json", "--if-missing"]
    assert ("with REPLAN=yes what remains is planned again" in capsys.readouterr().err) == bool(says)
    assert (tmp_path / "plan").read_text() == "mine"


def test_without_a_plan_there_is_nothing_to_check(tmp_path: Path) -> None:
    planner = Planner(1)
    assert of_chain(tmp_path / "plan").check(planner) == 0
    assert not planner.calls


@pytest.mark.parametrize("was_there", [True, False])
@pytest.mark.parametrize("writes", [True, False])
def test_a_plan_that_leaves_datasets_out_is_not_kept_and_one_that_was_refused_is(
    tmp_path: Path, writes: bool, was_there: bool
) -> None:
    plan = tmp_path / "plan"
    if was_there:
        plan.write_text("mine")
    assert of_chain(plan, replan=True).make_once(Planner(1, writes)) == 1
    assert plan.exists() == (was_there and not writes)


def test_the_step_between_route_and_caption(tmp_path: Path) -> None:
    """The command, with the true planner."""
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 3))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    plan = tmp_path / "plan.jsonl"
    program = [sys.executable, "-m", "MetaCaptioner.launch.slurm.plans", "--plan", plan, "--num-ranks", "2"]
    command = [*program, "--metafile", metafile, f"--made-from={metafile}", "--results", tmp_path / "absent"]
    done = run([*command, "--allow-outside-root"])
    assert (done.returncode, "3 samples of 1 dataset in" in done.stdout) == (0, True), done.stdout
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 4))
    done = run(command)
    assert (done.returncode, "with REPLAN=yes" in done.stdout) == (1, True), done.stdout
    done = run(command, {"REPLAN": "yes"})
    assert (done.returncode, "4 samples of 1 dataset in" in done.stdout) == (0, True), done.stdout
    assert run([*command, "--max-samples"], {"REPLAN": "yes"}).returncode == 1
