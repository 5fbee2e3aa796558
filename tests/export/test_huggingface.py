import io
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from tests.export.conftest import Captions, Export


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def test_the_library_loads_pictures_and_clips(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    out = tmp_path / "hub"
    assert do_export(results, "huggingface", "--output", out).status == 0
    pictures = datasets.load_dataset(str(out), split="train")
    assert pictures["caption"][:] == [record["caption"] for record in records[:3]]
    assert pictures["sample_id"][:] == [record["sample_id"] for record in records[:3]]
    assert pictures["id"][:] == ["0", "one", None]
    assert pictures["accuracy"][:] == [4, 4, 4]
    assert pictures.features["image"] == datasets.Image()
    assert pictures[2]["image"] == Image.open(tmp_path / "media" / "3.png")
    clips = datasets.load_dataset(str(out), "video", split="train").cast_column("video", datasets.Video(decode=False))
    assert [clip["video"]["bytes"] for clip in clips] == [
        (tmp_path / "media" / name).read_bytes() for name in ("a.mp4", "b.x.webm")
    ]
    assert clips["caption"][:] == ["caption 0", "caption 7"]
    assert "root" not in pictures.column_names


def test_the_card_tells_what_it_is(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, _ = captions
    do_export(results, "huggingface", "--output", tmp_path / "hub")
    card = DatasetCard.load(tmp_path / "hub" / "README.md")
    assert card.data.size_categories == ["n<1K"]
    assert card.data.task_categories == ["image-to-text", "video-text-to-text"]
    assert [config["config_name"] for config in card.data.configs] == ["image", "video"]
    for line in (
        *("5 captions", "| photos | 3 |", "| the.clips/set | 2 |", "| Natural | 3 |", "| Video &amp; Temporal | 2 |"),
        *("| m | 5 |", "| p | 5 |", "min_overall 3.5, min_dim_score 2, drop_truncated False"),
    ):
        assert line in card.text
    assert str(tmp_path) not in card.text


def test_captions_alone_need_no_media(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    (Path(records[0]["root"]) / "0.png").unlink()
    assert do_export(results, "huggingface", "--output", tmp_path / "hub", "--without-media").status == 0
    pictures = datasets.load_dataset(str(tmp_path / "hub"), "image", split="train")
    assert pictures["caption"][:] == [record["caption"] for record in records[:3]]
    assert "image" not in pictures.column_names


def test_files_have_the_size_asked_for(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    for number in (0, 1):
        buffer = io.BytesIO()
        Image.effect_noise((1100, 1100), 90).save(buffer, "PNG")
        (Path(records[0]["root"]) / f"{number}.png").write_bytes(buffer.getvalue())
    kept = results / "filtered" / "kept.jsonl"
    kept.write_text("\n".join(line for line in kept.read_text().replace("media_hash", "other").splitlines()) + "\n")
    do_export(results, "huggingface", "--output", tmp_path / "hub", "--shard-megabytes", "1")
    files = sorted(path.name for path in (tmp_path / "hub" / "data" / "image").iterdir())
    assert files == [f"train-0000{number}.parquet" for number in range(3)]
    assert len(datasets.load_dataset(str(tmp_path / "hub"), split="train")) == 3
