"""Small checkpoints of the families that are promised to work, each loaded once, through all stages.

More families than these are tried with `LONG=1`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.media.loader import Media
from tests.families.checkpoints import FAMILIES, Family, architecture
from tests.families.others import OTHERS
from tests.helpers import Outcome, Runner, error_kinds, make_clip, picture_rows, records, small_plan, some_media
from tests.random_model import ROOT
from tests.running_engine import OnItsOwnLoop, RunningEngine

MODELS = (ROOT / "docs" / "models.md").read_text()
pytestmark = pytest.mark.engine


ALL = [*FAMILIES, *(pytest.param(name, marks=pytest.mark.long) for name in OTHERS)]


@pytest.fixture(scope="module", params=ALL)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Family, Any]]:
    family = {**FAMILIES, **OTHERS}[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    family.make(folder)
    running = RunningEngine(folder, **family.engine)
    yield family, running
    running.close()


def test_pictures_and_clips_go_through_all_stages(loaded: tuple[Family, Any], tmp_path: Path, run: Runner) -> None:
    family, running = loaded
    if family.fails_on_cpu:
        pytest.skip(family.fails_on_cpu)
    rows = picture_rows(tmp_path / "media", 2)
    make_clip(tmp_path / "media" / "clip.mp4", frames=24, size=(112, 84))
    plan = small_plan(tmp_path, [*rows, {"id": 2, "video": "clip.mp4"}], task="auto")
    seen = {"set/0", "set/1"} | ({"set/2"} if family.takes_clips else set())
    refused = {} if family.takes_clips else {"set/2": "unsupported_media"}
    engine = OnItsOwnLoop(running)
    routes, captions = tmp_path / "Domain", tmp_path / "Caption"

    def check(outcome: Outcome, folder: Path, left_out: dict[str, str]) -> dict[str, Any]:
        assert outcome.status == 0, outcome.said
        assert error_kinds(folder) == left_out
        return {name: record for name, record in records(folder).items() if record["status"] == "ok"}

    routed = check(run.route(plan, routes, engine=engine), routes, refused)
    assert routed.keys() == seen
    assert all(0 < record["task_confidence"] <= 1 for record in routed.values())
    captioned = check(run.caption(plan, captions, "--max-output-tokens", 8, engine=engine), captions, refused)
    assert captioned.keys() == seen
    assert all(agent["text"] for record in captioned.values() for agent in record["agents"].values())
    scored = check(run.score(captions, engine=engine), captions / "score", {})
    assert scored.keys() == seen
    assert all(1 <= mark <= 5 for record in scored.values() for mark in record["scores"].values())


def test_the_page_of_models_has_it(loaded: tuple[Family, Any]) -> None:
    family, running = loaded
    [row] = [row for row in MODELS.splitlines() if f"`{architecture(Path(running.engine.model))}`" in row][:1]
    assert ("it takes none" in row) != family.takes_clips


def test_prompts_begin_as_often_as_they_should_and_leave_nothing_open(loaded: tuple[Family, Any]) -> None:
    family, running = loaded
    prompts = running.engine._prompts
    tokenizer = running.engine._engine.renderer.get_tokenizer()
    for media in (None, some_media()):
        tokens = running.run(prompts.rendered("Look.", media))["prompt_token_ids"]
        text = tokenizer.decode(list(tokens))
        assert text.startswith(family.begins)
        assert not family.begins or text.count(family.begins) == 1
    assert prompts.template("image").opened is None
    assert not prompts.text("Look.", "image").rstrip().endswith("<think>")


def test_what_media_take_is_what_the_engine_counts(loaded: tuple[Family, Any]) -> None:
    family, running = loaded
    engine = running.engine
    alone = len(running.run(engine._prompts.rendered("Look.", None))["prompt_token_ids"])
    clip = replace(some_media("video"), duration=1.0, source_fps=2.0, source_frames=2, frame_indices=(0, 1))
    shown: list[Media] = [some_media(), *([clip] if family.takes_clips else [])]
    for media in shown:
        tokens = len(running.run(engine._prompts.rendered("Look.", media))["prompt_token_ids"])
        assert 0 < engine.media_tokens(media) <= tokens - alone + 1
