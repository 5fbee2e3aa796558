"""README and the other pages: their texts, their blocks of commands, and the test that types each of them."""

import re

from tests.random_model import ROOT

README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (README, CONTRIBUTING, ROOT / "CHANGELOG.md", *DOCS)
}

TYPED = {
    "the demo": "run_demo.sh",
    "the tests": "run_tests.sh",
    "the checks": "ruff check",
    "an installation": "pip install",
    "captions from servers": "--engine openai",
    "a server of one's own": "vllm serve",
    "a folder to captions": "photos --output Output/photos --export txt --beside",
    "options in three places": "METACAPTIONER_MAX_PIXELS",
    "a real run on one node": "setup.sh",
    "two machines": "NODE_RANK=1",
    "a chain on SLURM": "submit.sh",
    "one stage on SLURM": "caption.sbatch",
    "sorting first": "apply_domains.py",
    "data in other shapes": "--format coco",
    "data that have grown": "--update",
    "how far it is": "MetaCaptioner.status",
    "exports": "--format huggingface --output",
    "a second pass": "INPUT=",
    "sampling again": "--resample",
    "claims": "--claims check",
    "an evaluation": "QUESTIONS=",
}
"""Every block of commands: what it is, and words that stand in no other. A test types it by `typed(what it is)`."""


def blocks(language: str) -> list[str]:
    """All blocks of a language, of all pages."""
    return [block for text in PAGES.values() for block in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def typed(what: str) -> str:
    """The block of commands that is called so in `TYPED`."""
    [block] = [block for block in blocks("bash") if TYPED[what] in block]
    return block


def inline_code(text: str) -> list[str]:
    """What stands between backticks in the lines of a page, blocks left out; a line's end is a space."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [code.replace("\n", " ") for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose)]


def section(page: str, heading: str) -> str:
    """What follows a heading of a page, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    _, found, rest = PAGES[page].partition(f"\n{heading}\n")
    assert found, f"{page} has no heading '{heading}'"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]
