"""The command `metacaptioner`, in processes of its own."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MetaCaptioner import __version__
from MetaCaptioner.__main__ import COMMANDS, GROUPS, main
from MetaCaptioner.launch import local
from MetaCaptioner.utils.options_sources import READ_NO_FILE
from tests.helpers import picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import environment, module, records, run, script, succeed
from tests.random_model import ROOT

COMMAND = [sys.executable, "-m", "MetaCaptioner"]
STAGES = ("route", "caption", "score")
HEAVY = {"torch", "vllm", "transformers", "pandas", "datasets", "av", "cv2", "webdataset", "huggingface_hub"}
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def metafile(tmp_path: Path) -> Path:
    """Four pictures of which the plan knows the domain."""
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 4))
    return write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})


def test_ranks_are_told_all_that_was_said_and_read_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(local, "keep_signals", lambda: None)
    monkeypatch.setattr(local, "become", lambda launch, module, flags: sys.exit(told.extend(flags)))
    monkeypatch.delenv("METACAPTIONER_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METACAPTIONER_OTHERS", "keep")
    (tmp_path / "metacaptioner.yaml").write_text("seed: -3\nranks: 2\n")
    with pytest.raises(SystemExit):
        main(["caption", "--plan=-p\udcff", "--output-dir=a b", "--engine-arg", "a= x", "--engine-arg=b=-1"])
    flags = ["--plan=-p\udcff", "--output-dir=a b", "--seed=-3", "--engine-arg=a= x", "--engine-arg=b=-1", "--keep"]
    assert told == [*flags, READ_NO_FILE]


def test_help_names_every_command_in_its_group_and_the_version_is_the_packages() -> None:
    told = succeed([*COMMAND, "--help"])
    for group, commands in GROUPS.items():
        after = told.partition(f"\n{group}:\n")[2].splitlines()
        assert [line.split(maxsplit=1) for line in after[: len(commands)]] == [
            [command.name, command.about] for command in commands
        ]
    assert succeed([*COMMAND, "--version"]) == f"metacaptioner {__version__}\n"


def test_every_program_of_the_package_is_a_command() -> None:
    """What has a `main` in the root, and the two whose rooms have programs, and nothing else."""
    programs = {path.stem for path in (ROOT / "MetaCaptioner").glob("*.py")} - {
        "__init__",
        "__main__",
        "errors",
        "Prompt",
    }
    assert {command.module for command in COMMANDS.values()} == programs | {"report.command", "export.command"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_speaks_as_the_user_does_and_imports_nothing_heavy(name: str) -> None:
    program = (
        "import sys; sys.argv[1:] = sys.argv[2:]; from MetaCaptioner.__main__ import main\n"
        "try:\n    main()\nfinally:\n"
        "    print('imported', *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    told = run(
        [sys.executable, "-c", program, "-", name, "--help"], {"_METACAPTIONER_PROGRAM": f"metacaptioner {name}"}
    )
    assert told.returncode == 0, told.stdout
    assert told.stdout.startswith(f"usage: metacaptioner {name} ")
    assert not HEAVY & {*told.stdout.rpartition("\nimported ")[2].split()}
    assert "(default: None)" not in told.stdout
    assert "(default: False)" not in told.stdout


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ([*COMMAND, "plan"], "python -m MetaCaptioner plan"),
        (module("plan"), "python -m MetaCaptioner.plan"),
        (module("captionpipeline"), "python -m MetaCaptioner.captionpipeline"),
        (script("verify"), str(ROOT / "dataprocess" / "verify.py")),
        (["bash", ROOT / "script" / "run_caption.sh"], str(ROOT / "script" / "run_caption.sh")),
    ],
)
def test_a_program_is_called_as_it_was_typed(command: list[str | Path], usage: str) -> None:
    told = succeed([*command, "--help"], NO_GPU).split()
    assert " ".join(told).startswith(f"usage: {usage} ")
    mistaken = run([*command, "--flag"], NO_GPU)
    assert mistaken.returncode == 2
    assert mistaken.stdout == f"error: unrecognized arguments: --flag; {usage} --help lists all\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["captoin"],
            "there is no command 'captoin'; did you mean 'caption'? python -m MetaCaptioner --help lists all",
        ),
        (["inferscore"], "there is no command 'inferscore'; did you mean 'score'? "),
        (["xyzzy"], "there is no command 'xyzzy'; python -m MetaCaptioner --help lists all"),
        ([], "name a command; python -m MetaCaptioner --help lists all"),
        (["caption", "--plan", "p", "--output-dir", "o", "--video-frames", "1"], "--video-frames must be at least 2"),
        (["caption", "--plan", "p", "--output-dir", "o", "--ranks", "0"], "--ranks must be at least 1"),
        (["plan", "--metafile", "m", "--num-ranks", "0", "--output", "p"], "--num-ranks must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_however_many_ranks_there_would_be(arguments: list[str], told: str) -> None:
    done = run([*COMMAND, *arguments], {**NO_GPU, "NPROC": "3"})
    assert (done.returncode, done.stdout.count("\n")) == (2, 1), done.stdout
    assert done.stdout.startswith(f"error: {told}")


def test_stages_start_the_ranks_that_are_asked_for(tmp_path: Path, metafile: Path) -> None:
    plan, flags = tmp_path / "plan", ("--engine", "scripted", "--takeover-chunk", "0")
    for ranks, extra in (((), {"NPROC": "2", "MODEL": "named"}), (("--ranks", "2", "--model", "named"), {})):
        out = tmp_path / f"out{len(ranks)}"
        succeed([*COMMAND, "plan", "--metafile", metafile, "--num-ranks", "2", "--output", plan], NO_GPU)
        succeed([*COMMAND, "caption", "--plan", plan, "--output-dir", out, *ranks, *flags], {**NO_GPU, **extra})
        assert {path.name[:5] for path in out.glob("Rank*")} == {"Rank0", "Rank1"}
        assert {record["model"] for record in records(out)} == {"scripted"}
        assert "4 ok" in succeed([*COMMAND, "verify", "--plan", plan, "--data-folder", out])


def test_a_rank_of_a_launcher_is_that_rank_and_makes_no_others(tmp_path: Path, metafile: Path) -> None:
    plan, out = tmp_path / "plan", tmp_path / "out"
    succeed([*COMMAND, "plan", "--metafile", metafile, "--num-ranks", "2", "--output", plan])
    caption = [
        *COMMAND,
        "caption",
        "--plan",
        plan,
        "--output-dir",
        out,
        "--engine",
        "scripted",
        "--takeover-chunk",
        "0",
    ]
    of_torchrun = {**NO_GPU, "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "NPROC": "8"}
    succeed(caption, of_torchrun)
    assert {path.name[:5] for path in out.glob("Rank*")} == {"Rank1"}
    refused = run([*caption, "--ranks", "2"], of_torchrun)
    assert refused.returncode == 2
    assert refused.stdout == (
        "error: --ranks, --nodes and --node are of no use here: rank 1 of 2 (node 0, torchrun) was started by its "
        "launcher\n"
    )


def test_a_python_without_the_packages_is_told_in_one_line(tmp_path: Path) -> None:
    """One that has nothing of the program, and one that has the package but nothing that it needs."""
    bare = [sys.executable, "-S", "-P", ROOT / "dataprocess" / "verify.py", "--plan", "p", "--data-folder", "d"]
    for path, told in (
        ("", "error: this Python lacks MetaCaptioner; use "),
        (str(ROOT), f"error: {sys.executable} lacks "),
    ):
        done = run(bare, {"PYTHONPATH": path})
        assert (done.returncode, done.stdout.count("\n")) == (1, 1), done.stdout
        assert done.stdout.startswith(told)
        assert ".venv/bin/python (bash script/setup.sh makes it)" in done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "dataprocess").glob("*.py")))
def test_scripts_work_from_any_folder_and_without_their_own_on_the_path(name: str, tmp_path: Path) -> None:
    for flags in ((), ("-P",)):
        done = subprocess.run(
            [sys.executable, *flags, ROOT / "dataprocess" / name, "--help"],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"usage: {ROOT / 'dataprocess' / name} ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_comes_before_there_are_ranks_stops_them(
    tmp_path: Path, metafile: Path, number: signal.Signals
) -> None:
    """As of SLURM, which has the job go on after status 3."""
    plan = tmp_path / "plan"
    succeed([*COMMAND, "plan", "--metafile", metafile, "--num-ranks", "1", "--output", plan])
    flags = ("--engine", "scripted", "--engine-arg", "delay=1", "--ranks", "1")
    command = [*COMMAND, "caption", "--plan", plan, "--output-dir", tmp_path / "out", *flags]
    process = subprocess.Popen(
        [str(part) for part in command], env=environment(NO_GPU), stderr=subprocess.PIPE, text=True
    )
    while not blocks(process.pid, number):
        time.sleep(0.001)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said


def blocks(process: int, number: int) -> bool:
    """Whether a process has a signal wait. Source: proc(5), /proc/[pid]/status, SigBlk."""
    [told] = re.findall(r"SigBlk:\s*(\w+)", Path(f"/proc/{process}/status").read_text())
    return bool(int(told, 16) & 1 << number - 1)
