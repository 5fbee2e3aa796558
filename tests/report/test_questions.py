"""The questions of an evaluation on the page: question, caption, answer, truth and mark, none of which acts on it."""

import json
from pathlib import Path

import pytest

from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.report import command
from MetaCaptioner.report.questions import evaluation_of
from tests.evaluating import CHOICES, World, right
from tests.helpers import FakeEngine, Runner, agent_of, completion, records
from tests.question_files import in_base64

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> & </script> a plain end"


def answered(world: World) -> None:
    """Eight questions, right from captions; the answers and one question are hostile."""
    rows = [{**CHOICES[0], "question": f"Which is 0? {HOSTILE}", "A": HOSTILE}, *CHOICES[1:]]
    world.build("AI2D_TEST.tsv", rows)

    def hook(request: Request) -> Completion | None:
        said = right(request)
        if said is None or agent_of(request) == "guess":
            return completion(HOSTILE) if agent_of(request) in ("summary", "guess") else said
        return completion(f"{said.text} {HOSTILE}")

    world.caption(engine=FakeEngine(hook))
    assert world.evaluate(engine=FakeEngine(hook)).status == 0


def test_what_the_page_is_given(run: Runner, tmp_path: Path) -> None:
    world = World(run, tmp_path)
    assert evaluation_of(world.captions / "answers", world.captions, 5) is None
    answered(world)
    given = evaluation_of(world.captions / "answers", world.captions, 5)
    assert given is not None
    assert len(given["questions"]) == 5
    captions = {name: record["caption"] for name, record in records(world.captions).items()}
    for question in given["questions"]:
        number = int(question["id"].rpartition("/")[2])
        assert question["captions"] == [captions[f"AI2D_TEST/{number // 2}"]]
        assert question["truth"] == ["ABCD"[number % 4]]
        assert [answer["variant"] for answer in question["answers"]] == ["captions", "none"]
        assert question["answers"][0]["mark"] == 1.0
    again = evaluation_of(world.captions / "answers", world.captions, 5)
    assert given["questions"] == again["questions"]  # type: ignore[index]


@pytest.mark.browser
def test_the_page_shows_them(run: Runner, tmp_path: Path) -> None:
    browser = pytest.importorskip("tests.report.browser", reason="needs playwright (requirements-dev.txt)")
    if browser.CHROMIUM is None:
        pytest.skip("needs Chromium (script/system_packages.txt)")
    world = World(run, tmp_path)
    answered(world)
    told = run.main(command.main, "--data-folder", world.captions)
    assert told.status == 0, told.said
    with browser.chromium() as chromium, browser.open_page(chromium, world.captions / "report.html") as opened:
        assert opened.page.evaluate("window.hacked") is None
        assert opened.text("#evaluation-table").count("100.0 (100.0–100.0)") == 2
        cards = {
            str(card.get_attribute("data-id")): card.inner_text() for card in opened.page.locator(".question").all()
        }
        assert len(cards) == 8
        first = cards["AI2D_TEST/0"]
        assert f"Which is 0? {HOSTILE}" in first
        assert f"A. {HOSTILE}" in first
        assert "From captions\tThe answer is A." in first
        assert "Right: A" in first
        opened.page.locator("#question-kind").select_option("guessed")
        shown = opened.texts(".question")
        marks = [one["mark"] for one in world.answers.values() if one["variant"] == "none"]
        assert len(shown) == sum(mark >= 0.5 for mark in marks)
        opened.page.locator("#question-kind").select_option("")
        opened.page.locator("#question-search").fill("which is 3")
        assert len(opened.texts(".question")) == 1


def test_a_page_without_an_evaluation_has_no_questions(run: Runner, tmp_path: Path) -> None:
    world = World(run, tmp_path)
    world.build("AI2D_TEST.tsv", [{**CHOICES[0], "image": in_base64(1)}])
    world.caption()
    assert run.main(command.main, "--data-folder", world.captions).status == 0
    page = (world.captions / "report.html").read_text()
    [data] = [line for line in page.splitlines() if line.startswith('<script type="application/json"')]
    assert json.loads(data.partition(">")[2].removesuffix("</script>"))["evaluation"] is None
