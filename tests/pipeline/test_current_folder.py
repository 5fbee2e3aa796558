"""Whatever lies in the current folder, which may be a dataset's, none of it is executed."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from MetaCaptioner.utils.import_path import keep_search_paths_absolute
from tests.helpers import make_clip, picture_rows, write_annotation, write_metafile
from tests.pipeline.commands import environment, module, script, succeed
from tests.random_model import ROOT

MODULES = (
    *("numpy", "torch", "pydantic", "msgspec", "yaml", "tqdm", "PIL", "av", "MetaCaptioner", "inputs"),
    *("json", "socket", "pickle", "runpy", "multiprocessing", "tempfile", "random", "statistics", "sysconfig", "pip"),
    *("sitecustomize", "usercustomize", "matplotlib", "qwen_vl_utils"),
)
PROGRAMS = (
    "python3",
    "python",
    "dirname",
    "nvidia-smi",
    "mktemp",
    "nproc",
    "cat",
    "tr",
    "grep",
    "setsid",
    "find",
    "ps",
)
VARIABLES = {"CUDA_VISIBLE_DEVICES": "", "MODEL": "none", "NPROC": "1"}
SCRIPTED = ("--engine", "scripted")


def hostile(folder: Path, modules: Sequence[str] = MODULES) -> Path:
    """A folder of modules and programs that leave a mark in it if they are executed."""
    folder.mkdir()
    mark = folder / "executed"
    for number, name in enumerate(modules):
        code = f"open({str(mark)!r}, 'a').write({name!r} + '\\n')\n"
        if number % 2:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(code)
        else:
            (folder / f"{name}.py").write_text(code)
    for name in PROGRAMS:
        program = folder / name
        program.write_text(f"#!/bin/sh\necho program {name} >>{shlex.quote(str(mark))}\n")
        program.chmod(0o755)
    (folder / "common.sh").write_text(f"echo common.sh >>{shlex.quote(str(mark))}\n")
    (folder / ".env").write_text(f"PYTHON={folder}/python3\n")
    return folder


def started_in(folder: Path, command: Sequence[str | Path], **variables: str) -> str:
    """What a command says that is started in a folder; it must end well and have executed nothing there."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment(VARIABLES | variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    mark = folder / "executed"
    assert not mark.exists(), mark.read_text()
    assert done.returncode == 0, done.stdout
    return done.stdout


def of_scripts(name: str, *flags: str | Path) -> list[str | Path]:
    return ["bash", ROOT / "script" / name, *flags]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures and a clip, which helper processes decode; the folder has a name that shells stumble over."""
    folder = tmp_path_factory.mktemp("data") / "of $(touch me), 'a' \"b\"\n"
    rows = [*picture_rows(folder / "media", 2), {"id": 2, "video": "a.mp4"}]
    make_clip(folder / "media" / "a.mp4", 12)
    write_annotation(folder / "set.json", rows)
    return write_metafile(folder, set={"root": "media", "annotation": "set.json", "task": "auto"})


def open_to_it(folder: Path) -> dict[str, str]:
    """The environment of somebody whose search paths have the current folder, in every spelling."""
    path = os.environ["PATH"]
    return {"PATH": f":.:{path}:", "PYTHONPATH": f".::{ROOT}:", "CDPATH": f".:{folder}", "PYTHON": sys.executable}


@pytest.mark.parametrize("processes", ["1", "2"])
def test_scripts(tmp_path: Path, data: Path, processes: str) -> None:
    """From plan to report, on several ranks as well."""
    here = hostile(tmp_path / "-here now")
    plan, out, domain = (data.parent / f"{name}{processes}" for name in ("plan", "out", "domain"))
    variables = open_to_it(here) | {"METAFILE": str(data), "PLAN": str(plan), "NPROC": processes, "OUTPUT": str(out)}
    started_in(here, of_scripts("run_plan.sh"), **variables)
    flags = (*SCRIPTED, "--takeover-chunk", "0")
    if processes == "1":
        started_in(here, of_scripts("run_domain.sh", *flags), **variables | {"OUTPUT": str(domain)})
    started_in(here, of_scripts("run_caption.sh", *flags), **variables)
    if processes == "1":
        started_in(here, of_scripts("run_filter.sh", *SCRIPTED), **variables)
        both = f'source {ROOT}/script/common.sh; run_tool verify --plan "$PLAN" --data-folder "$OUTPUT"'
        assert "3 ok" in started_in(here, ["bash", "-c", both], **variables)
        started_in(
            here,
            ["bash", "-c", f'source {ROOT}/script/common.sh; run_tool report --data-folder "$OUTPUT"'],
            **variables,
        )


def test_tools_and_their_helpers(tmp_path: Path, data: Path) -> None:
    here = hostile(tmp_path / "here")
    plan, out = data.parent / "plan", data.parent / "captions"
    succeed(module("plan", "--metafile", data, "--num-ranks", "1", "--output", plan))
    succeed(module("captionpipeline", "--plan", plan, "--output-dir", out, "--model", "none", *SCRIPTED))
    started_in(here, script("verify", "--plan", plan, "--data-folder", out, "--check-media", "3"))
    started_in(here, script("report", "--data-folder", out))
    exported = ("--data-folder", out, "--all", "--format", "jsonl", "--output", data.parent / "exported")
    started_in(here, script("export", *exported))
    built = ("--format", "folder", "--input", data.parent / "media", "--metafile", data.parent / "built.json")
    started_in(here, script("build_metafile", *built))


def test_modules_that_are_started_by_hand(tmp_path: Path, data: Path) -> None:
    """Python itself looks there for what it needs before the package; nobody can help that. The rest is kept out."""
    before = {"MetaCaptioner", "runpy", "sitecustomize", "usercustomize"} | set(sys.stdlib_module_names)
    here = hostile(tmp_path / "here", [name for name in MODULES if name not in before])
    plan, out = data.parent / "plan by hand", data.parent / "out by hand"
    started_in(here, module("plan", "--metafile", data, "--num-ranks", "1", "--output", plan))
    caption = module("captionpipeline", "--plan", plan, "--output-dir", out, "--model", "none", *SCRIPTED)
    started_in(here, caption)
    started_in(here, module("status", "--plan", plan, "--output-dir", out))


def test_children_are_started_without_the_current_folder(tmp_path: Path) -> None:
    """Also where the package was found there."""
    program = "import os, sys; print([os.environ.get(n) for n in ('PYTHONSAFEPATH', 'PYTHONPATH')], sys.path[0])"
    told = (
        f"import MetaCaptioner.utils.import_path as p, sys; sys.argv[0] = '-m'; p.leave_out_current_folder(); {program}"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, env={"PYTHONPATH": f":.:{tmp_path}"}, capture_output=True, text=True
    )
    assert done.stdout == f"['1', '{ROOT}:{tmp_path}'] {ROOT}\n", done.stderr


def test_a_program_that_uses_the_package_keeps_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("")
    command = [sys.executable, "-c", "import MetaCaptioner, mine, os; print(os.environ.get('PYTHONSAFEPATH'))"]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr


@pytest.mark.parametrize(
    ("given", "left"), [("", None), (":", None), ("/a:", "/a"), (":/a:.:/b", "/a:/b"), (".", None), ("/a", "/a")]
)
def test_shared_libraries_are_looked_for_in_absolute_folders(
    monkeypatch: pytest.MonkeyPatch, given: str, left: str | None
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", given)
    keep_search_paths_absolute()
    assert os.environ.get("LD_LIBRARY_PATH") == left
    told = f'source {ROOT}/script/safe_paths.sh; echo "${{LD_LIBRARY_PATH-unset}}"'
    done = subprocess.run(
        ["bash", "-euc", told], env={"LD_LIBRARY_PATH": given}, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{left or 'unset'}\n"


@pytest.mark.engine
def test_the_engines_processes_take_no_libraries_from_there(tmp_path: Path) -> None:
    """OpenCV, which vLLM loads, has them look there."""
    program = (
        "import os; from MetaCaptioner.engine.vllm import _load_opencv; _load_opencv(); "
        "import vllm.multimodal.video; print('LD_LIBRARY_PATH', os.environ.get('LD_LIBRARY_PATH'))"
    )
    here = hostile(tmp_path / "here")
    (here / "libc.so.6").write_text("")  # a process that took it would end at once
    said = started_in(here, [sys.executable, "-P", "-c", program], LD_LIBRARY_PATH="")
    [entries] = [line.split()[-1].split(":") for line in said.splitlines() if line.startswith("LD_LIBRARY_PATH")]
    assert all(entry.startswith("/") for entry in entries)


def test_every_script_cleans_its_search_paths_first() -> None:
    scripts = {path: path.read_text() for path in (ROOT / "script").rglob("*") if path.suffix in (".sh", ".sbatch")}
    first = {
        path.name: next(line for line in text.splitlines() if line.startswith(("source ", "ROOT=")))
        for path, text in scripts.items()
        if path.name != "safe_paths.sh"
    }
    assert all(re.search(r"safe_paths|python|common", line) for name, line in first.items() if name != "run_tests.sh")
    assert not [name for name, line in first.items() if "$(dirname" in line]


def test_a_search_path_for_cd_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    code = 'cd "$0"; export CDPATH="$1"; for name in python common; do source "script/$name.sh"; echo "$ROOT"; done'
    assert succeed(["bash", "-c", code, ROOT, tmp_path], VARIABLES) == f"{ROOT}\n{ROOT}\n"


def test_lists_keep_what_is_absolute() -> None:
    told = f'source {ROOT}/script/safe_paths.sh; for list in "$@"; do absolute_entries "$list"; echo "<$REPLY>"; done'
    lists = ["", ":", ".", "/a", ":/a:", "/a::/b", "./x:/a b:*:/c", "..:/a\nb:-n"]
    done = subprocess.run(["bash", "-euc", told, "bash", *lists], capture_output=True, text=True, check=True)
    assert done.stdout == "<>\n<>\n<>\n</a>\n</a>\n</a:/b>\n</a b:/c>\n</a\nb>\n"
