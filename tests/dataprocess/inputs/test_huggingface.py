from pathlib import Path
from typing import Any

import datasets
import pytest

from MetaCaptioner.metafile import media_source
from MetaCaptioner.source import tar_place
from tests.dataprocess.inputs.building import Build, answer
from tests.helpers import make_clip, picture_rows
from tests.pipeline.commands import run, script


@pytest.fixture
def pngs(tmp_path: Path) -> list[bytes]:
    picture_rows(tmp_path / "pictures", 3)
    return [(tmp_path / "pictures" / f"{number}.png").read_bytes() for number in range(3)]


def dataset(pngs: list[bytes], **columns: list[Any]) -> datasets.Dataset:
    """Pictures as they are mostly kept, inside the file; the last row has none."""
    images = [{"bytes": png, "path": None if number else "a.png"} for number, png in enumerate(pngs)] + [None]
    made = datasets.Dataset.from_dict({"image": images, "caption": ["zero", "one", "", "none"], **columns})
    return made.cast_column("image", datasets.Image())


@pytest.mark.parametrize("kept_as", ["disk", "parquet"])
def test_pictures_are_packed_byte_for_byte(build: Build, tmp_path: Path, pngs: list[bytes], kept_as: str) -> None:
    made = dataset(pngs, id=["a", "b", "c", "d"], other=[1.5, 2.5, 3.5, 4.5])
    place = tmp_path / "hub data"
    if kept_as == "disk":
        made.save_to_disk(place)
    else:
        (place / "data").mkdir(parents=True)
        made.to_parquet(place / "data" / "train-00000.parquet")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", place)
    assert built.status == 0, built.said
    assert [(row["id"], answer(row)) for row in built.rows] == [("a", "zero"), ("b", "one"), ("c", None)]
    root = tmp_path / "out" / built.entries["hub data"]["root"]
    assert root == tmp_path / "out" / "hub_data"
    packed = [media_source(root, row["image"], tar_place(row["tar"])).read() for row in built.rows]
    assert packed == pngs
    assert "left out: 1 rows without anything in the column 'image' (first: 'row 3')" in built.said


def test_splits_and_columns_are_chosen(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    halves = datasets.DatasetDict({"train": dataset(pngs), "test": dataset(pngs[:1] * 3, text=["A", "B", "C", "D"])})
    halves["train"] = halves["train"].add_column("text", ["x"] * 4)
    halves.save_to_disk(tmp_path / "hub")
    metafile = tmp_path / "Metafile.json"
    for flags, complaint in (
        ((), "which split? Say --split (has: train, test)"),
        (("--split", "dev"), "has no split 'dev'"),
        (("--split", "test", "--media-column", "caption"), "'caption' is no column of images or videos"),
        (("--split", "test", "--caption-column", "none"), "has no column 'none'"),
    ):
        built = build(metafile, "huggingface", tmp_path / "hub", "--name", "h", *flags)
        assert (built.status, built.said.count("\n")) == (1, 1)
        assert complaint in built.said
    flags = ("--name", "h", "--split", "test", "--caption-column", "text", "--shard-megabytes", "1")
    built = build(metafile, "huggingface", tmp_path / "hub", *flags)
    assert [(row["id"], answer(row)) for row in built.rows] == [(0, "A"), (1, "B"), (2, "C")]


def test_clips_are_packed_without_a_decoder(build: Build, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4)
    made = datasets.Dataset.from_dict({"clip": [{"bytes": None, "path": str(clip)}, {"bytes": b"x", "path": "b.webm"}]})
    made.cast_column("clip", datasets.Video(decode=False)).save_to_disk(tmp_path / "clips")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "clips")
    assert [row["video"] for row in built.rows] == ["000000000.mp4", "000000001.webm"]
    source = media_source(tmp_path / "out" / "clips", built.rows[0]["video"], tar_place(built.rows[0]["tar"]))
    assert source.read() == clip.read_bytes()


def test_a_folder_that_is_not_its_own_is_never_replaced(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    dataset(pngs).save_to_disk(tmp_path / "hub")
    mine = tmp_path / "out" / "hub" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "hub", "--replace")
    assert built.status == 1
    assert "something else is there already" in built.said
    assert mine.read_text() == "keep"
    mine.unlink()
    for flags in ((), ("--replace",)):
        built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "hub", *flags)
        assert (built.status, len(built.rows)) == (0, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["Metafile.json", "hub", "hub.jsonl"]


def test_a_name_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    given = ("--format", "huggingface", "--input", "nobody/none-such", "--metafile", tmp_path / "Metafile.json")
    done = run(script("build_metafile", *given), {"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "error: dataset nobody/none-such: Couldn't reach 'nobody/none-such' on the Hub" in done.stdout
