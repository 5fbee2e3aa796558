"""Real photographs and a real ffmpeg-made video through all stages, on real vLLM."""

import subprocess
from pathlib import Path

import imageio_ffmpeg
import pandas as pd
import pytest
from PIL import Image
from skimage import data

from MetaCaptioner.agents.dimensions import SHIPPED
from tests.pipeline.commands import module, records, script, succeed, write_json

pytestmark = pytest.mark.engine

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "page", "hubble_deep_field")


def make_video(path: Path) -> None:
    """A 4 s clip of ffmpeg's test pattern with a running clock, H.264 in MP4."""
    pattern = "testsrc2=size=320x240:rate=24:duration=4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-f", "lavfi", "-i", pattern]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True)


def make_datasets(folder: Path) -> Path:
    """A dataset of photographs without a task, one with tasks in its rows, and one of the video; their Metafile."""
    media = folder / "media"
    media.mkdir()
    for name in PHOTOGRAPHS:
        Image.fromarray(getattr(data, name)()).save(media / f"{name}.png")
    make_video(media / "pattern.mp4")
    unrouted = [{"id": number, "image": f"{name}.png"} for number, name in enumerate(PHOTOGRAPHS[:4])]
    named = [{"id": "p", "image": "page.png", "task": "Infographic", "width": 384, "height": 191}]
    named.append({"id": "h", "image": "hubble_deep_field.png", "task": "knowledge", "width": 1000, "height": 872})
    write_json(folder / "photos.json", unrouted)
    write_json(folder / "named.json", named)
    write_json(folder / "clips.json", [{"id": 0, "video": "pattern.mp4"}])
    entry = {"root": "media", "length": 4, "modality": "image"}
    metafile = {
        "photos": {**entry, "annotation": "photos.json", "task": "auto"},
        "named": {**entry, "annotation": "named.json", "task": "Natural", "length": 2},
        "clips": {**entry, "annotation": "clips.json", "task": "Video", "length": 1, "modality": "video"},
    }
    return write_json(folder / "Metafile.json", metafile)


def test_photographs_and_a_video_go_through_all_stages(tmp_path: Path, random_model: Path) -> None:
    metafile, plan, captions = make_datasets(tmp_path), tmp_path / "split_plan.jsonl", tmp_path / "Caption"
    model = ("--model", random_model, "--max-output-tokens", "24")
    succeed(module("plan", "--metafile", metafile, "--num-ranks", "2", "--output", plan))

    log = succeed(module("captionpipeline", "--plan", plan, "--output-dir", captions, "--score", *model))
    assert log.count("7 samples: 7 ok, 0 errors") == 2
    assert log.count(": loading ") == 1
    made = {record["sample_id"]: record for record in records(captions)}
    assert made["named/0"]["task"] == "Infographic & Document"
    assert made["named/1"]["task_source"] == "row"
    assert made["photos/0"]["task_source"] == "router"
    assert made["clips/0"]["video"] == "pattern.mp4"
    for record in made.values():
        agents = record["agents"]
        assert len(agents) >= 4
        assert record["caption"] == agents["summary"]["text"] != ""
        # Some agents of a sample find the system message and the picture in the cache.
        assert sum(agent["cached_tokens"] for agent in agents.values()) > 0 or record["sample_id"] == "named/0"

    scores = records(captions / "score")
    assert sorted(record["sample_id"] for record in scores) == sorted(made)
    for record in scores:
        assert record["status"] == "ok", record
        assert set(record["scores"]) == {one.name for one in SHIPPED}
        assert record["overall"] == pytest.approx(sum(record["scores"].values()) / 5)

    succeed(script("filterd_by_score", "--data-folder", captions, "--min-overall", "1", "--min-dim-score", "1"))
    assert len((captions / "filtered" / "kept.jsonl").read_text().splitlines()) == 7
    succeed(script("export", "--data-folder", captions, "--format", "parquet", "--output", tmp_path / "out.parquet"))
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("sample_id")
    assert table["caption"].to_dict() == {name: record["caption"] for name, record in made.items()}
    assert "complete" in succeed(script("verify", "--plan", plan, "--data-folder", captions, "--scores"))

    again = succeed(module("captionpipeline", "--plan", plan, "--output-dir", captions, *model))
    assert "7 of 7 samples are done, 0 to do" in again
    assert "loading" not in again
