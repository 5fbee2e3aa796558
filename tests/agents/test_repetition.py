"""Loops are told from what is long, alike and sound. Prose and code are this repository's own."""

import json
import random
import time
from pathlib import Path

import pytest

from MetaCaptioner import filter as filter_command
from MetaCaptioner.agents.repetition import is_loop, repeats_itself
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.export import command as export_command
from tests.helpers import (
    FakeEngine,
    Runner,
    agent_of,
    completion,
    error_kinds,
    replace_record,
    sample_of,
    small_plan,
)

ROOT = Path(__file__).parents[2]
PROSE = (ROOT / "docs" / "cluster.md").read_text()
CHINESE = (
    "这张照片展示了一条安静的乡村小路，两旁种满了高大的梧桐树，阳光透过树叶洒在地面上，形成斑驳的光影。远处有一位老人牵着一头水牛缓缓走来，"
    "他头戴草帽，身穿蓝色布衣，脸上带着平和的微笑。路边的稻田里，几只白鹭正低头觅食，水面倒映着天空和云朵。画面整体色调温暖，构图平衡，"
    "让人感受到田园生活的宁静与美好。左下角有一块木牌，上面写着村庄的名字，字迹已经有些模糊，似乎经历了多年的风雨。"
)
LOOPS = {
    "a word": "the " * 40,
    "a letter": "啊" * 60,
    "Chinese": "一只猫坐在垫子上，" * 12,
    "Japanese without spaces": "猫が座っています" * 10,
    "numbers": "1, 2, " * 80,
    "empty cells": "| | | |\n" * 60,
    "dots": "." * 500,
    "laughter": "ha" * 100,
    "a sentence": "A red car is parked at the kerb beside a tree. " * 5,
    "new lines": "and then\n\n\n" * 20,
    "halves of pairs": "\ud83d" * 400,
}


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_loops_are_found_alone_and_behind_what_is_sound(text: str) -> None:
    assert is_loop(text)
    assert repeats_itself(text)
    assert repeats_itself(PROSE[:300] + text * 4, cut=True)
    assert repeats_itself(f"{PROSE[:200]}{text * 8}")


SOUND = {
    "prose": PROSE[2000:4000],
    "Chinese": CHINESE,
    "a short answer": "Yes, yes, yes, yes, yes, yes.",
    "a rule": f"Title\n{'=' * 100}\n{PROSE[:300]}\n{'-' * 120}\n",
    "leaders": "\n".join(f"Chapter {n} {PROSE[n * 20 : n * 20 + 15]!r} {'.' * 60} {n * 7}" for n in range(12)),
    "a table": "| name | size | seen |\n| --- | --- | --- |\n"
    + "".join(f"| item {n} | {n * 7} | yes |\n" for n in range(60)),
    "equal rows in a table": "| who | Mon | Tue |\n| --- | --- | --- |\n" + "| Ann | N/A | N/A |\n" * 6 + PROSE[:300],
    "rows of zeros": "matrix = [\n" + "".join(f"    [{'0, ' * n}1, {'0, ' * (9 - n)}],\n" for n in range(10)) + "]",
    "code": (ROOT / "MetaCaptioner" / "runner" / "loop.py").read_text()[:4000],
    "web code": "<ul>\n" + '  <li><a href="#">Item</a></li>\n' * 6 + "</ul>\n" + PROSE[:400],
    "a list": "\n".join(f"{n}. The {word} on the table" for n, word in enumerate(PROSE.split()[:80])),
    "LaTeX": r"\begin{array}{cccc}" + "".join(rf"a_{{{n}1}} & a_{{{n}2}} & \cdots & a_{{{n}m}} \\ " for n in range(20)),
    "steps": "".join(f"Step {n}: turn the handle to position {n * 3}, then wait {n} s. " for n in range(30)),
}


@pytest.mark.parametrize("text", SOUND.values(), ids=SOUND)
def test_what_is_sound_is_no_loop(text: str) -> None:
    assert not is_loop(text)
    assert not is_loop(text, cut=True)


def test_any_unit_that_comes_again_and_again_is_found_whatever_stands_before() -> None:
    chance = random.Random(3)
    for _ in range(400):
        unit = "".join(chance.choice("abcdefgh 日本語的是") for _ in range(chance.choice((2, 3, 5, 9, 40, 150))))
        if not any(map(str.isalpha, unit)):
            continue
        before = PROSE[: chance.randrange(1500)]
        loop = unit * (max(170, 4 * len(unit)) // len(unit) + 2)
        tail = loop[: len(loop) - chance.randrange(len(unit))]
        assert repeats_itself(before + tail, cut=True), (unit, len(before))
        longer = loop * (len(before) // len(loop) + 2)
        assert repeats_itself(before + longer + PROSE[: len(longer) // 3].replace(unit, "")[:100]), (unit, len(before))


def test_prose_and_code_cause_no_alarm() -> None:
    paths = [path for kind in ("md", "py", "js", "css", "yaml") for path in ROOT.rglob(f"*.{kind}")]
    texts = [
        path.read_text() for path in sorted(paths) if ".venv" not in path.parts and path.name != "chart.umd.min.js"
    ]
    chance = random.Random(4)
    for text in texts:
        for size in (150, 600, 2000):
            if len(text) > size:
                begin = chance.randrange(len(text) - size)
                piece = text[begin : begin + size]
                assert not is_loop(piece, cut=True), piece


def test_a_text_is_looked_through_in_no_time() -> None:
    """Quadratic at worst is for texts that are short: an answer has some thousand characters."""
    began = time.monotonic()
    for text in (
        PROSE[:8000],
        "a" * 7999 + "b",
        "ab" * 2000 + "c" + "ab" * 2000,
        " " * 8000 + "x",
        "x" + "-" * 4000 + PROSE[:4000],
    ):
        repeats_itself(text)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("loop", ["猫が座っています" * 40, "the " * 100], ids=["without spaces", "short period"])
def test_a_loop_is_no_caption_nor_kept_nor_exported(tmp_path: Path, run: Runner, loop: str) -> None:
    text = PROSE[:300] + loop

    def hook(request: Request) -> Completion | None:
        return completion(text, "length") if (sample_of(request), agent_of(request)) == ("set/1", "summary") else None

    plan, out = small_plan(tmp_path, 3), tmp_path / "out"
    assert run.caption(plan, out, engine=FakeEngine(hook)).status == 0
    assert error_kinds(out) == {"set/1": "degenerate_output"}
    assert run.caption(plan, out, "--retry-errors").status == 0
    replace_record(out, "set/1", caption=text, truncated=True)  # as an earlier version would have left it
    assert run.score(out).status == 0
    marks = ("--data-folder", out, "--min-overall", 1, "--min-dim-score", 1)
    assert run.main(filter_command.main, *marks).status == 0
    rejected = [json.loads(line) for line in (out / "filtered" / "rejected.jsonl").read_text().splitlines()]
    assert [(record["sample_id"], record["rejected"]) for record in rejected] == [("set/1", ["repeats itself"])]
    outcome = run.main(
        export_command.main, "--data-folder", out, "--format", "jsonl", "--all", "--output", tmp_path / "exported"
    )
    assert "left out: 1 captions that repeat themselves (first: set/1)" in outcome.said
    assert len((tmp_path / "exported" / "set.jsonl").read_text().splitlines()) == 2
