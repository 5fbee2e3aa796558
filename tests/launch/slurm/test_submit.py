"""A chain is submitted whole or not at all, whatever comes between; further tests: tests/slurm/test_submit.py."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.helpers import picture_rows, plain, write_annotation, write_metafile
from tests.launch.slurm.conftest import Slurm
from tests.pipeline.commands import environment
from tests.random_model import ROOT

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture
def chain(slurm: Slurm, tmp_path: Path) -> dict[str, str]:
    """A small dataset and where its chain goes; sbatch numbers its jobs from 1."""
    slurm.stand_in("sbatch", 'echo "$@" >>"$CALLS"; wc -l <"$CALLS"')
    slurm.stand_in("scancel", 'echo "scancel $*" >>"$CALLS"')
    slurm.stand_in("squeue", "")
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json"})
    return {"RUN": str(tmp_path / "out"), "METAFILE": str(metafile), "MODEL": "none", "ROUTE": "no"}


def submitted(variables: dict[str, str], before: tuple[str, ...] = (), flags: tuple[str, ...] = ()) -> tuple[int, str]:
    """(exit status, what was said) of submit.sh, which ignores nothing of what would stop it."""

    def heed_signals() -> None:
        for number in STOPS:
            signal.signal(number, signal.SIG_DFL)

    done = subprocess.run(
        [*before, "bash", str(ROOT / "script" / "slurm" / "submit.sh"), *flags],
        env=environment(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
        preexec_fn=heed_signals,
        start_new_session=True,
    )
    return done.returncode, plain(done.stdout)


NONE_IS_KEPT = "error: not every job could be submitted, so none is kept; submit again: cd "


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_between_two_jobs_takes_back_what_was_submitted(
    slurm: Slurm, chain: dict[str, str], number: signal.Signals
) -> None:
    submit = f"case $* in *score.sbatch*) kill -{number.name[3:]} $PPID ;; esac"
    slurm.stand_in("sbatch", f'{submit}; echo "$@" >>"$CALLS"; wc -l <"$CALLS"')
    status, said = submitted(chain)
    assert (status, slurm.calls[-1], len(slurm.calls)) == (1, "scancel 1 2", 3)
    assert said.splitlines()[-1].startswith(NONE_IS_KEPT)


def test_a_signal_while_slurm_is_waited_for_takes_back_at_once_also_what_has_no_answer(
    slurm: Slurm, chain: dict[str, str], tmp_path: Path
) -> None:
    """The job was made, but sbatch was not told so."""
    text = (slurm.folder / "sbatch").read_text()
    mute = f"touch {tmp_path}/made; echo 'Socket timed out' >&2; kill -TERM $PPID; exit 1"
    slurm.stand_in("sbatch", f"case $* in *score.sbatch*) {mute} ;; esac\n{text}")
    slurm.stand_in("squeue", f"[ ! -e {tmp_path}/made ] || echo '5 metacaptioner score of {chain['RUN']}'")
    status, said = submitted({**chain, "SCHEDULER_SECONDS": "600"})
    assert (status, slurm.calls[-1], len(slurm.calls)) == (1, "scancel 1 5", 2)
    assert "sbatch gives no answer: Socket timed out" in said


def test_a_signal_while_it_is_planned_goes_to_the_planner_and_nothing_is_submitted(
    slurm: Slurm, chain: dict[str, str], tmp_path: Path
) -> None:
    begun, slow = tmp_path / "begun", tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import sys, time\n"
        f"if 'MetaCaptioner.plan' in sys.orig_argv: open({str(begun)!r}, 'w').close(); time.sleep(60)\n"
    )
    stop = f"(until [ -e '{begun}' ]; do sleep 0.05; done; kill -TERM $PPID) </dev/null >/dev/null 2>&1 &"
    slurm.stand_in("squeue", f"if [ ! -e '{begun}' ]; then {stop} fi")
    since = time.monotonic()
    status, said = submitted({**chain, "PYTHONPATH": f"{ROOT}:{slow}"})
    assert time.monotonic() - since < 50
    assert (status, slurm.calls) == (1, [])
    assert said.splitlines()[-1].startswith(NONE_IS_KEPT)


def test_while_a_chain_is_taken_back_no_signal_ends_that(slurm: Slurm, chain: dict[str, str]) -> None:
    text = (slurm.folder / "sbatch").read_text()
    slurm.stand_in("sbatch", f"case $* in *score.sbatch*) echo no >&2; exit 1 ;; esac\n{text}")
    slurm.stand_in("scancel", 'kill -TERM $PPID; kill -INT $PPID; sleep 0.2; echo "scancel $*" >>"$CALLS"')
    status, said = submitted(chain)
    assert (status, slurm.calls[-1]) == (1, "scancel 1")
    assert said.splitlines()[-1].startswith(NONE_IS_KEPT)


def test_under_nohup_a_closed_terminal_ends_nothing(slurm: Slurm, chain: dict[str, str]) -> None:
    text = (slurm.folder / "sbatch").read_text()
    slurm.stand_in("sbatch", f"kill -HUP $PPID\n{text}")
    status, said = submitted(chain, ("nohup",))
    assert (status, len(slurm.calls)) == (0, 3), said


def test_a_chain_of_which_nobody_can_be_told_is_not_kept(slurm: Slurm, chain: dict[str, str]) -> None:
    """Its output goes to a program that has ended."""
    status, said = submitted(chain, ("bash", "-c", '"$@" | true; exit ${PIPESTATUS[0]}', "bash"))
    assert (status, slurm.calls[-1], len(slurm.calls)) == (1, "scancel 1", 2)
    assert "Broken pipe" in said


def test_jobs_are_told_of_the_chain_and_nothing_of_other_runs(slurm: Slurm, chain: dict[str, str]) -> None:
    slurm.stand_in(
        "sbatch", 'env -0 | tr "\\n" " " | tr "\\0" "\\n" >"$CALLS.env"; echo "$@" >>"$CALLS"; wc -l <"$CALLS"'
    )
    others = {"INPUT": "/i", "OUTPUT": "/o", "RESULTS": "/r", "_METACAPTIONER_RESTARTS": "2", "SQUEUE_FORMAT": "%i"}
    status, said = submitted({**chain, **others, "TP": "2", "NNODES": "2", "SLURM_JOB_ID": "3", "RESAMPLE": "1"})
    assert status == 0, said
    env = dict(line.split("=", 1) for line in (slurm.folder / "calls.env").read_text().splitlines() if "=" in line)
    told = {"METACAPTIONER": str(ROOT), "OUTPUT": f"{chain['RUN']}/Caption", "PLAN": f"{chain['RUN']}/split_plan.jsonl"}
    told |= {"NUM_RANKS": "8", "NPROC": "4", "NNODES": "2", "TP": "2", "REPLAN": "no", "OUTSIDE": "", "RESAMPLE": "1"}
    told["_METACAPTIONER_IS_PART"] = "1"
    assert {name: env.get(name) for name in told} == told
    assert not {"INPUT", "RESULTS", "_METACAPTIONER_RESTARTS", "SQUEUE_FORMAT", "SLURM_JOB_ID", "ROUTED"} & set(env)
    assert env["_METACAPTIONER_AGAIN"].startswith("cd ")
    assert env["_METACAPTIONER_SBATCH"].startswith(f"'metacaptioner filter of {chain['RUN']}' --export=ALL ")


def test_a_file_of_options_is_for_the_planner_and_for_all_programs_of_the_jobs(
    slurm: Slurm, chain: dict[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("min_overall: 4\nscore: {seed: 3}\n")
    slurm.stand_in("sbatch", 'echo "$METACAPTIONER_CONFIG" >>"$CALLS"; wc -l <"$CALLS"')
    status, said = submitted(chain, flags=("--config", os.path.relpath(file)))
    assert (status, slurm.calls) == (0, [str(file)] * 3), said
    assert "options of " in said
    for name in ("apply", "filter"):  # what no variable says is left to it
        script = (ROOT / "script" / "slurm" / f"{name}.sbatch").read_text()
        assert not re.findall(r" --[a-z-]+ \"\$\{\w+:-[0-9]", script)


def test_a_folder_that_cannot_be_made_is_one_line(slurm: Slurm, chain: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, said = submitted({**chain, "RUN": str(tmp_path / "file" / "out")})
    assert (status, said) == (1, f"error: {tmp_path}/file/out/logs: cannot be made: Not a directory\n")


def test_slurm_that_is_not_there_is_said(slurm: Slurm, chain: dict[str, str]) -> None:
    slurm.stand_in("squeue", "echo 'command not found' >&2; exit 127")
    status, said = submitted(chain)
    assert status == 1
    assert "error: SLURM cannot be asked what is there; submit again: cd " in said
