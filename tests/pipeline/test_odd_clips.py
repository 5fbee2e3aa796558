"""The demo's clips in every form that people have: real vLLM says of each what it says of the plain clip.

One clip in each form, the clips by turns; `CLIPS_A_FORM=3` asks for all.
"""

import os
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from benchmarks.demo_quality import MODEL, PROMPTS
from tests.odd_clips import FORMS
from tests.pipeline.commands import module, records, succeed, write_json
from tests.random_model import ROOT
from tests.running_engine import LoadedStages
from tests.shown_clips import needs_ffmpeg

pytestmark = [pytest.mark.engine, needs_ffmpeg]

PLAIN = sorted((ROOT / "data" / "demo" / "video_clips").glob("*.mp4"))
CLIPS_A_FORM = int(os.environ.get("CLIPS_A_FORM", "1"))
ONLY_4_TO_3 = "pixels wide in mpeg-2"  # a header of MPEG-2 knows three shapes of pictures, none of them a square
SHOWING_ALL = {name: form for name, form in FORMS.items() if form.is_whole and name != ONLY_4_TO_3}


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory, demo_model: LoadedStages) -> dict[str, dict[str, str]]:
    """By form, and of the plain clips, what is said of each clip that was made so; an error stands for itself."""
    folder = tmp_path_factory.mktemp("odd")
    rows = []
    for clip in PLAIN:
        shutil.copy(clip, folder)
        rows.append({"id": f"plain/{clip.stem}", "video": clip.name})
        for name, form in SHOWING_ALL.items():
            if clip not in chosen(name):
                continue
            odd = form.make(clip, folder / f"{clip.stem}-{re.sub(r'[^a-z0-9]', '-', name)}{form.suffix}")
            rows.append({"id": f"{name}/{clip.stem}", "video": odd.name})
    dataset = {"root": str(folder), "annotation": str(write_json(folder / "clips.json", rows)), "task": "Video"}
    metafile, plan = write_json(folder / "Metafile.json", {"clips": dataset}), folder / "plan.jsonl"
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "1", "--output", plan))
    model = ("--model", MODEL, "--prompts-dir", PROMPTS)
    demo_model.caption("--plan", plan, "--output-dir", folder / "Caption", *model)
    said: dict[str, dict[str, str]] = defaultdict(dict)
    for record in records(folder / "Caption"):
        form, _, clip_name = record["id"].rpartition("/")
        said[form][clip_name] = record.get("caption") or str(record["error"])
    return said


def chosen(form: str) -> list[Path]:
    """The clips that are made in this form."""
    first = list(SHOWING_ALL).index(form)
    return [PLAIN[(first + number) % len(PLAIN)] for number in range(min(CLIPS_A_FORM, len(PLAIN)))]


def test_the_plain_clips_have_three_captions(captions: dict[str, dict[str, str]]) -> None:
    assert len(set(captions["plain"].values())) == len(PLAIN) == 3


@pytest.mark.parametrize("form", SHOWING_ALL)
def test_a_clip_in_another_form_gets_the_same_caption(captions: dict[str, dict[str, str]], form: str) -> None:
    assert captions[form] == {clip.stem: captions["plain"][clip.stem] for clip in chosen(form)}
