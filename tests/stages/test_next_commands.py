"""Every step ends by naming the next one, which is pasted here into a shell as it stands."""

import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from MetaCaptioner import verify
from MetaCaptioner.utils.next_command import command, goes_on_by_itself
from tests.helpers import Runner, picture_rows, small_plan, write_annotation, write_metafile
from tests.pipeline.commands import records, run

BEGIN = f"{sys.executable} -m MetaCaptioner"
SHELL = {"CUDA_VISIBLE_DEVICES": "", "METACAPTIONER_ENGINE": "scripted", "METACAPTIONER_DECODE_THREADS": "2"}
Paste = Callable[[str], dict[str, str]]


def named(said: str) -> dict[str, str]:
    """The commands that are named, by their first word, ready to be pasted."""
    begins = r"(?m)^(?:rank 0: .*; )?(?:next|or)\b[^:]*: "
    return {
        name: line for line, name in re.findall(begins + r"(\S*(?:metacaptioner| -m MetaCaptioner) (\w+) .*)$", said)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With six pictures, and a name that is to be quoted."""
    made = tmp_path / "it's here"
    picture_rows(made / "my photos", 6)
    return made


@pytest.fixture
def paste(folder: Path) -> Paste:
    """Runs a line in a shell in the folder; gives the commands that it names at its end."""

    def in_shell(line: str) -> dict[str, str]:
        done = run(["bash", "-c", f"cd {shlex.quote(str(folder))} && {line}"], SHELL)
        assert done.returncode == 0, done.stdout
        return named(done.stdout)

    return in_shell


def test_a_chain_of_pasted_commands_comes_from_pictures_to_an_export(folder: Path, paste: Paste) -> None:
    to = paste(f"{BEGIN} build --format folder --input 'my photos' --metafile 'my data/Metafile.json'")
    assert [*to] == ["plan"]
    to = paste(to["plan"])
    assert [*to] == ["caption", "route"]
    to = paste(to["route"])
    assert [*to] == ["apply", "caption"]
    to = paste(to["apply"])
    assert [*to] == ["plan"]
    to = paste(to["plan"])
    assert (folder / "Output" / "routed" / "split_plan.jsonl").is_file()
    to = paste(to["caption"])
    assert [*to] == ["score"]
    to = paste(to["score"] + " --min-overall 1 --min-dim-score 1")
    assert to["filter"].endswith(" --min-overall=1.0 --min-dim-score=1")
    to = paste(to["filter"])
    assert [*to] == ["report", "export"]
    assert paste(to["report"]) == paste(to["export"]) == {}
    output = folder / "Output"
    assert len(records(output / "Caption")) == len([*(output / "export" / "txt").rglob("*.txt")]) == 6
    assert (output / "Caption" / "report.html").is_file()


def test_the_plan_as_it_is_can_be_captioned_after_it_was_routed(paste: Paste) -> None:
    paste(f"{BEGIN} build --format folder --input 'my photos' --metafile Metafile.json")
    to = paste(f"{BEGIN} plan --metafile Metafile.json --num-ranks 2 --output plan.jsonl")
    to = paste(to["route"] + " --ranks 2")
    to = paste(to["caption"] + " --score --ranks 2")
    assert [*to] == ["filter"]


def test_run_and_its_ranks_name_their_own_end_only(folder: Path, paste: Paste) -> None:
    line = f"{BEGIN} run 'my photos' --output out --ranks 2 2>&1 | tee log"
    assert paste(line) == {}
    said = (folder / "log").read_text()
    assert said.count("next: ") == 1
    assert "next: open out/Caption/report.html in a browser" in said.splitlines()[-1]


def test_of_the_ranks_of_a_node_one_names_what_follows_all(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path)
    assert "next" not in run.caption(plan, tmp_path / "out", rank=(1, 2)).said  # which has no LOCAL_RANK, and is not 0
    said = run.caption(plan, tmp_path / "out", rank=(0, 2)).said.splitlines()[-1]
    assert said.startswith(f"rank 0: its results are in {tmp_path / 'out'}; next, when all ranks are done: ")
    assert said.endswith(f" score --data-folder {tmp_path / 'out'} --model=none --engine=scripted")


def test_what_was_typed_is_typed_on(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "a b"
    said = run.caption(plan, out, "--max-pixels", 5000, "--seed", 3, "--max-samples", 4).said
    typed = f" score --data-folder '{out}' --model=none --engine=scripted --seed=3 --max-pixels=5000"
    assert named(said)["score"].endswith(typed)


def test_a_step_of_something_that_goes_on_by_itself_names_none(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path)
    with goes_on_by_itself():
        assert "next" not in run.caption(plan, tmp_path / "out").said
    assert "next" in run.caption(plan, tmp_path / "out").said


def test_a_plan_of_what_remains_goes_on_in_its_results(tmp_path: Path, run: Runner) -> None:
    root = tmp_path / "media"
    write_annotation(tmp_path / "set.json", picture_rows(root, 3))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    said = run.plan(metafile, tmp_path / "plan").said
    assert [*named(said)] == ["caption"], "all have a domain"
    for stage, out in ((run.route, tmp_path / "domains"), (run.caption, tmp_path / "captions")):
        stage(tmp_path / "plan", out, "--max-samples", 1)
        again = named(run.plan(metafile, tmp_path / f"plan of {out.name}", "--results", out).said)
        assert [*again] == ["route" if out.name == "domains" else "caption"]
        assert f" --output-dir {out}" in next(iter(again.values()))


def test_verify_names_what_mends_and_what_follows(tmp_path: Path, run: Runner) -> None:
    plan, out = small_plan(tmp_path), tmp_path / "out"

    def told(*flags: str) -> tuple[int, dict[str, str]]:
        outcome = run.main(verify.main, "--plan", plan, "--data-folder", out, *flags)
        return outcome.status, named(outcome.said)

    run.caption(plan, out, "--max-samples", 3)
    status, to = told()
    assert (status, [*to]) == (1, ["caption"])
    assert f"caption --plan {plan} --output-dir {out}" in to["caption"]
    run.caption(plan, out)
    assert [*told()[1]] == ["score"]
    assert [*told("--scores")[1]] == ["score"]
    assert "--seed" not in told("--check-media", "1", "--seed", "5")[1]["score"], "which is of records to draw"
    run.score(out)
    assert [*told("--scores")[1]] == ["filter"]
    [path] = out.glob("Rank0_*.jsonl")
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[0])
    status, to = told("--scores")
    assert (status, [*to]) == (1, ["verify"])
    assert to["verify"].endswith(" --scores --mend")
    assert told("--scores", "--single-launch")[1]["verify"].endswith(" --scores --single-launch --mend")
    assert told("--scores", "--mend")[0] == 0


def test_verify_of_domains_names_apply_with_the_metafile_that_was_planned(tmp_path: Path, run: Runner) -> None:
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    run.plan(metafile, tmp_path / "plan")
    to = named(run.route(tmp_path / "plan", tmp_path / "Domain").said)
    assert f" apply --domain-folder {tmp_path / 'Domain'} --metafile {metafile} --output-dir " in to["apply"]
    verified = run.main(verify.main, "--plan", tmp_path / "plan", "--data-folder", tmp_path / "Domain")
    assert named(verified.said)["apply"] == to["apply"]
    write_metafile(tmp_path, other={"root": "media", "annotation": "set.json"})
    said = run.main(verify.main, "--plan", tmp_path / "plan", "--data-folder", tmp_path / "Domain").said
    assert " --metafile METAFILE " in named(said)["apply"], "what was changed since is not the one"


def test_the_command_is_called_as_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert command("report", "--data-folder", Path("a b")) == "metacaptioner report --data-folder 'a b'"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    (python.parent.parent / "lib").mkdir()
    monkeypatch.setattr(sys, "executable", str(python))
    assert command("filter") == f"{python} -m MetaCaptioner filter"
    (python.parent / "metacaptioner").touch()
    monkeypatch.chdir(tmp_path)
    assert command("filter") == "venv/bin/metacaptioner filter"
    monkeypatch.chdir(python.parent.parent / "lib")
    assert command("filter") == f"{python.parent}/metacaptioner filter"


def test_the_next_stage_has_the_same_models(tmp_path: Path, run: Runner) -> None:
    models = '{"judge": {"model": "it\'s mine", "engine": "scripted"}}'
    outcome = run.caption(small_plan(tmp_path, 1), tmp_path / "out", "--models", models)
    assert f"--models={models}" in shlex.split(named(outcome.said)["score"])
