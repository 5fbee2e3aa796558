import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export
import pytest

from tests.dataprocess.conftest import WriteLines, caption_record, score_record
from tests.helpers import Outcome, Runner, make_clip, pack, picture_rows

Export = Callable[..., Outcome]
Captions = tuple[Path, list[dict[str, Any]]]


@pytest.fixture
def do_export(run: Runner) -> Export:
    """Runs export.py in this process: (results, format, further flags)."""

    def do(results: Path, kind: str, *flags: object) -> Outcome:
        return run.main(export.main, "--data-folder", results, "--format", kind, *flags)

    return do


@pytest.fixture
def captions(tmp_path: Path, write_lines: WriteLines) -> Captions:
    """The result folder and records of five kept captions: three pictures, one of them in a tar file, and two clips."""
    media = tmp_path / "media"
    picture_rows(media, 4)
    make_clip(media / "a.mp4", 4)
    shutil.copy(make_clip(media / "b.mp4", 5), media / "b.x.webm")
    place = pack(media / "s.tar", media / "3.png", names=("in/3.png",))["in/3.png"]
    clip = {"modality": "video", "task": "Video & Temporal", "name": "my.clips/set"}
    records = [
        caption_record(0, caption="Zero\u2028 'ж'."),
        caption_record(1, id="one"),
        caption_record(3, id=None, image="in/3.png", tar=place),
        caption_record(0, **clip, video="a.mp4"),
        caption_record(7, **clip, video="b.x.webm"),
    ]
    contents = [media / name for name in ("0.png", "1.png", "3.png", "a.mp4", "b.x.webm")]
    marks = {"scores": score_record(0)["scores"], "overall": 4.0, "reason": "good"}
    for record, path in zip(records, contents, strict=True):
        if record["modality"] == "video":
            del record["image"]
        record |= {"root": str(media), "media_hash": hashlib.sha256(path.read_bytes()).hexdigest(), **marks}
    write_lines(tmp_path / "Caption" / "filtered" / "kept.jsonl", records)
    (tmp_path / "Caption" / "filtered" / "summary.json").write_text(
        '{"thresholds": {"min_overall": 3.5, "min_dim_score": 2, "drop_truncated": false}}'
    )
    return tmp_path / "Caption", records
