import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.export import command as export_command
from MetaCaptioner.records.row_map import caption_hash
from tests.helpers import Outcome, Runner, make_clip, pack, picture_rows, write_lines
from tests.made_records import caption_record, score_record

THRESHOLDS = '{"thresholds": {"min_overall": 3.5, "min_dim_score": 2, "drop_truncated": false}}'
Export = Callable[..., Outcome]
Captions = tuple[Path, list[dict[str, Any]]]


def filtered(folder: Path, kept: list[dict[str, Any]], rejected: Sequence[dict[str, Any]] = ()) -> Path:
    """A result folder of captions without marks, of which the filter kept some."""
    write_lines(folder / "Rank0_node0_set.jsonl", [*kept, *rejected])
    write_lines(folder / "filtered" / "kept.jsonl", kept)
    write_lines(folder / "filtered" / "rejected.jsonl", rejected)
    (folder / "filtered" / "summary.json").write_text(THRESHOLDS)
    return folder


@pytest.fixture
def do_export(run: Runner) -> Export:
    """Runs export.py in this process: (results, format, further flags)."""

    def do(results: Path, kind: str, *flags: object) -> Outcome:
        return run.main(export_command.main, "--data-folder", results, "--format", kind, *flags)

    return do


@pytest.fixture
def captions(tmp_path: Path) -> Captions:
    """The result folder and records of five kept captions: three pictures, one of them in a tar file, and two clips.

    The files have them in the order in which they were done, the list in that of the rows.
    """
    media = tmp_path / "media"
    picture_rows(media, 4)
    make_clip(media / "a.mp4", 4)
    shutil.copy(make_clip(media / "b.mp4", 5), media / "b.x.webm")
    place = pack(media / "s.tar", media / "3.png", names=("in/3.png",))["in/3.png"]
    clip = {"modality": "video", "task": "Video & Temporal", "name": "the.clips/set"}
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
    results = tmp_path / "Caption"
    write_lines(results / "filtered" / "kept.jsonl", records[::-1])
    write_lines(results / "Rank0_node0_photos.jsonl", [records[4], *records[1::-1]])
    write_lines(results / "Rank1_node0_photos.jsonl", records[2:4])
    scores = [{**record, "caption_hash": caption_hash(record["caption"])} for record in records]
    write_lines(results / "score" / "Rank0_node0_photos.jsonl", [scores[0], scores[1], scores[4]])
    write_lines(results / "score" / "Rank1_node0_photos.jsonl", scores[2:4])
    (results / "filtered" / "summary.json").write_text(THRESHOLDS)
    return tmp_path / "Caption", records
