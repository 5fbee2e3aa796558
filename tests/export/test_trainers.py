"""Each export, read as those read it who train with it."""

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import webdataset

from tests.export.conftest import Export, filtered
from tests.export.test_dataset_names import ODD
from tests.helpers import make_clip, picture_rows
from tests.made_records import caption_record

SPECIAL = [
    *(
        "A page with <image> and <video>.",
        "<audio>",
        "Ends <|im_end|> here.",
        "<image><image>",
        "{{image}}",
        "<IMG_CONTEXT>",
    ),
    *("<bbox> of a <ref-object>", "<start_of_turn>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|image_pad|>"),
]
LONG = "".join(f" x{number}" for number in range(100))
PLAIN = ['<img src="a.png"> and <s>struck</s>', "a < b | c > d", "an <Image>", "{image}", "<|>", "x <||> y"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Pictures and clips of one dataset, ids of every type, captions with all that trainers take for more than text."""
    media = tmp_path / "media"
    picture_rows(media, 1)
    make_clip(media / "a.mp4", 4)
    ids = [7, "seven", None, 2**70, 1.5, "8", 9]
    records = []
    for number in range(300):
        texts = SPECIAL if number % 2 else PLAIN
        video = number < 200 or number % 3 == 0
        fields = {"video": "a.mp4", "modality": "video"} if video else {"image": "0.png"}
        record = caption_record(number, id=ids[number % 7] if number > 20 else number, root=str(media))
        del record["image"]
        records.append({**record, **fields, "caption": texts[number // 2 % len(texts)] + LONG})
    return filtered(tmp_path / "Caption", records[::-1])


def llama_factory_counts(row: dict[str, Any], images: int, videos: int) -> bool:
    """Whether LLaMA-Factory takes a row.

    Source: hiyouga/LLaMA-Factory 0.9.5, `src/llamafactory/data/mm_plugin.py`, `_validate_messages`: over all messages
    the placeholders of each kind are as many as the media.
    """
    texts = [turn["value"] for turn in row["conversations"]]
    wanted = {"<image>": images, "<video>": videos, "<audio>": 0}
    return all(sum(text.count(name) for text in texts) == count for name, count in wanted.items())


@pytest.mark.parametrize("kind", ["conversations", "jsonl"])
def test_annotation_files_are_read_by_datasets_and_llama_factory(
    tmp_path: Path, results: Path, do_export: Export, kind: str
) -> None:
    outcome = do_export(results, kind, "--output", tmp_path / "out")
    assert outcome.status == 0
    assert "note: 150 captions got a space in what trainers take for media or a token" in outcome.said
    assert "ids are written as text, since not all are whole numbers" in outcome.said
    found: list[str] = []
    for name, modality in (("photos", "image"), ("photos_video", "video")):
        [path] = (tmp_path / "out").glob(f"{name}.*")
        rows = datasets.load_dataset("json", data_files=str(path), split="train", chunksize=1 << 14)
        assert rows.features["id"] == datasets.Value("string")
        assert modality in rows.column_names
        assert len({"image", "video"} & set(rows.column_names)) == 1
        for row in rows:
            assert llama_factory_counts(row, modality == "image", modality == "video")
            assert "<|" not in row["conversations"][1]["value"].replace("<|>", "").replace("<||>", "")
        found += rows["sample_id"]
    assert sorted(found, key=lambda name: int(name.split("/")[1])) == [f"photos/{number}" for number in range(300)]
    plain = [row["conversations"][1]["value"].removesuffix(LONG) for row in rows]
    assert {text for text in plain if text in PLAIN} == set(PLAIN)


@pytest.mark.parametrize("kind", ["conversations", "jsonl"])
def test_whole_numbers_stay_whole_numbers(tmp_path: Path, do_export: Export, kind: str) -> None:
    results = filtered(tmp_path / "Caption", [caption_record(0), caption_record(1, name="other")])
    assert "note" not in do_export(results, kind, "--output", tmp_path / "out").said
    paths = [str(path) for path in (tmp_path / "out").glob("*[rs].json*") if path.stem in ("photos", "other")]
    rows = datasets.load_dataset("json", data_files=paths, split="train")
    assert rows.features["id"] == datasets.Value("int64")


def test_tables_are_read_by_datasets_and_pandas(tmp_path: Path, results: Path, do_export: Export) -> None:
    do_export(results, "parquet", "--output", tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["index"].tolist() == list(range(300))
    rows = datasets.load_dataset("parquet", data_files=str(tmp_path / "out.parquet"), split="train")
    assert rows["index"][:] == list(range(300))
    do_export(results, "huggingface", "--output", tmp_path / "hub")
    clips = datasets.load_dataset(str(tmp_path / "hub"), "video", split="train").remove_columns("video")
    pictures = datasets.load_dataset(str(tmp_path / "hub"), split="train")
    for found in (clips, pictures):
        assert found["index"][:] == sorted(found["index"])
        assert found["id"][-1] in ("7", "seven", None, str(2**70), "1.5", "8", "9")
    assert len(clips) + len(pictures) == 300


def test_shards_are_read_in_order_with_ids_of_one_type(tmp_path: Path, results: Path, do_export: Export) -> None:
    do_export(results, "webdataset", "--output", tmp_path / "out")
    urls = [str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]
    told = [json.loads(sample["json"]) for sample in webdataset.WebDataset(urls, shardshuffle=False)]
    assert [one["index"] for one in told] == list(range(300))
    assert {type(one["id"]) for one in told} == {str}


def test_shards_hold_datasets_of_any_name(tmp_path: Path, do_export: Export) -> None:
    picture_rows(tmp_path / "media", 1)
    records = [
        caption_record(0, name=name, image="0.png", root=str(tmp_path / "media"), caption=f"{name!r:.40}")
        for name in ODD
    ]
    do_export(filtered(tmp_path / "Caption", records), "webdataset", "--output", tmp_path / "out")
    urls = [str(path) for path in (tmp_path / "out").glob("*.tar")]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert [sample["txt"].decode() for sample in samples] == [f"{name!r:.40}" for name in sorted(ODD)]
    assert {sample["png"] for sample in samples} == {(tmp_path / "media" / "0.png").read_bytes()}


def test_an_instruction_says_nothing_of_places(tmp_path: Path, results: Path, do_export: Export) -> None:
    outcome = do_export(results, "jsonl", "--output", tmp_path / "out", "--instruction", "<image>\nTell.")
    assert (outcome.status, outcome.said.count("\n")) == (2, 1)
    assert "the place of the media, as <image>, is put in before it" in outcome.said


def test_the_same_results_give_the_same_files(tmp_path: Path, results: Path, do_export: Export) -> None:
    """However the records lie in the files."""
    do_export(results, "jsonl", "--output", tmp_path / "one")
    kept = results / "filtered" / "kept.jsonl"
    kept.write_text("".join(sorted(kept.read_text().splitlines(keepends=True))))
    do_export(results, "jsonl", "--output", tmp_path / "two")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    shutil.rmtree(tmp_path / "two")
