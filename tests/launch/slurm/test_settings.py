"""What a chain is to be. What cannot be is told by submit.sh as one line: tests/slurm/test_submit.py."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.launch.slurm import REPOSITORY
from MetaCaptioner.launch.slurm.settings import Chain, SbatchOptions, Size, StageFlags
from tests.pages import section
from tests.random_model import ROOT

SUBMIT = (ROOT / "script" / "slurm" / "submit.sh").read_text()


def variables_that_users_know() -> set[str]:
    """Those of the script's head, and of the pages' section on SLURM."""
    head = {
        name for line in re.findall(r"^#   ([A-Z][A-Z_, ]+?)   ", SUBMIT, re.MULTILINE) for name in line.split(", ")
    }
    told = section("docs/cluster.md", "## On SLURM")
    rows = [row.split("|")[1] for row in told.splitlines() if row.startswith("| `")]
    return {
        *head,
        "MODEL",
        "METAFILE",
        "SCHEDULER_SECONDS",
        *(name for row in rows for name in re.findall("`(.+?)`", row)),
    }


def test_what_submits_a_chain_again_is_told_all_that_it_was_told() -> None:
    names = variables_that_users_know()
    assert {"REPLAN", "RUN", "PLAN", "SBATCH_OPTIONS", "ROUTE"} <= names
    values = {"REPLAN": "yes", "ROUTE": "no", "SBATCH_OPTIONS": "--time 9", "MODEL": "a 'b'\n$c", "RUN": "/r"}
    told = {**{name: values.get(name, "1") for name in names}, "SBATCH_ACCOUNT": "a b", "PYTHON": "/p"}
    told["METACAPTIONER_MAX_PIXELS"] = "802816"
    told["PYTHONPATH"] = f"{REPOSITORY}:/lib"
    again = Chain.of({**told, "HOME": "/h", "SBATCH_PARTITION": ""}, ["--flag", "a b"]).again
    assert "\n" not in again
    script = str(REPOSITORY / "script" / "slurm" / "submit.sh")
    words = subprocess.run(
        ["bash", "-c", 'printf "%s\\0" ' + again.replace("&&", r"\&\&")], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    assert words[:3] == ["cd", str(Path.cwd()), "&&"]
    assert words[-4:] == ["bash", script, "--flag", "a b"]
    given = dict(word.split("=", 1) for word in words[3:-4])
    assert given == {**told, "PYTHONPATH": "/lib"}


def test_a_chain_that_was_told_nothing_is_told_nothing_again() -> None:
    script = REPOSITORY / "script" / "slurm" / "submit.sh"
    again = Chain.of({"PYTHONPATH": str(REPOSITORY), "REPLAN": ""}, []).again
    assert again == f"cd {shlex.quote(str(Path.cwd()))} && bash {script}"


def test_a_size_fills_its_nodes() -> None:
    size = Size.of({"TP": "2", "NNODES": "3", "ARRAY": "4%2"})
    assert size.ranks == 3 * 4 * 4
    assert size.options("/logs") == [
        *("--nodes=3", "--ntasks-per-node=4", "--cpus-per-task=8", "--gpus-per-node=8", "--array=0-3%2"),
        "--output=/logs/%x-%A_%a.log",
    ]
    without_gpus = Size.of({"GPUS_PER_NODE": "0", "TP": "2", "CPUS": "1"})
    assert without_gpus.options("/logs") == [
        *("--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--gpus-per-node=0"),
    ]
    assert "--array=0-0" in Size.of({"ARRAY": "1"}).options("/logs")


@pytest.mark.parametrize(
    ("words", "options", "comment", "after"),
    [
        ("", (), "own", ""),
        ("--partition=gpu  -t 9", ("--partition=gpu", "-t", "9"), "own", ""),
        ("--comment mine -d afterok:7", (), "mine", "afterok:7"),
        ("--comment=mine --dependency=afterok:7 -t 9", ("-t", "9"), "mine", "afterok:7"),
        ("--dependency afterok:7 --export=ALL,A=1", ("--export=ALL,A=1",), "own", "afterok:7"),
        ("--nodelist=n[1-3] *", ("--nodelist=n[1-3]", "*"), "own", ""),
    ],
)
def test_options_of_the_user_s_own(words: str, options: tuple[str, ...], comment: str, after: str) -> None:
    read = SbatchOptions.of({"SBATCH_OPTIONS": words, "SBATCH_COMMENT": "own"})
    assert read == SbatchOptions(options, comment, after)


@pytest.mark.parametrize("words", ["-a 0-7", "--array 0-7", "--array=0-7", "--export NONE", "--export=NIL,A=ALL"])
def test_options_that_would_break_the_chain_are_refused(words: str) -> None:
    with pytest.raises(BadArguments, match=f"SBATCH_OPTIONS: {words.split()[0]}: "):
        SbatchOptions.of({"SBATCH_OPTIONS": words})


def test_flags_that_other_steps_need_to_know() -> None:
    flags = ["--prompts-dir", "a", "--keep", "--prompts-dir=b", "--allow-outside-root", "--max-samples", "1"]
    read = StageFlags.of(flags)
    assert (read.all, read.prompts) == (tuple(flags), ("--prompts-dir=b",))
    assert (read.keep, read.outside) == (("--keep",), ("--allow-outside-root",))
    assert StageFlags.of(["--config=a", "--config", "b"]).file == ("--config", "b")
    assert StageFlags.of(["--config", "b"]).variables == {"METACAPTIONER_CONFIG": str(Path.cwd() / "b")}
    assert StageFlags.of(["--config="]).variables == {"METACAPTIONER_CONFIG": ""}
    assert StageFlags.of(["--prompts-dir", "a b"]).prompts == ("--prompts-dir", "a b")
    assert StageFlags.of(["--max-samples", "1"]) == StageFlags(("--max-samples", "1"), (), (), ())
