"""The house: which way imports go, how large a module may be, and that the plan of it is true."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "MetaCaptioner"
COMMANDS = {"run", "plan", "inferdomain", "captionpipeline", "inferscore", "filter", "status", "verify"}
COMMANDS |= {"build_metafile", "evaluate", "apply_domains", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))
ROOMS = sorted(path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*/__init__.py"))


def test_imports_go_only_downward() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    told = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stdout


def test_an_import_upward_is_found(tmp_path: Path) -> None:
    """The contract can be broken."""
    for name in ("MetaCaptioner", "pyproject.toml"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path / name], check=True)
    with (tmp_path / "MetaCaptioner" / "utils" / "text.py").open("a") as file:
        file.write("from MetaCaptioner.records.record import Record\n")
    linter = Path(sys.executable).parent / "lint-imports"
    told = subprocess.run([linter, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert told.returncode == 1
    assert "MetaCaptioner.utils is not allowed to import MetaCaptioner.records" in told.stdout


def test_the_root_holds_commands_and_facades_only() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == COMMANDS | {"__init__", "errors", "Prompt"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_modules_and_functions_are_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            assert node.end_lineno - node.lineno < 50, f"{node.name} has {node.end_lineno - node.lineno + 1} lines"


def _named(text: str) -> Iterator[str]:
    yield from re.findall(r"`([a-z_]+(?:/[a-z_]+)*)/`", text)


def test_the_page_names_every_room_and_no_other() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert sorted(set(_named(page)) & set(ROOMS)) == ROOMS
    for path in re.findall(r"`([a-z_/]+\.py)`", page):
        assert (PACKAGE / path).exists(), path


def test_the_picture_is_as_the_code_is() -> None:
    told = subprocess.run([sys.executable, ROOT / "script" / "draw_architecture.py", "--check"], timeout=120)
    assert told.returncode == 0, "docs/architecture.svg is old: run python script/draw_architecture.py"


SCRIPTS = sorted([*(ROOT / "dataprocess").glob("*.py"), *(ROOT / "script" / "slurm").iterdir()])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_a_few_lines(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 25
