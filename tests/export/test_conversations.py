import json
from pathlib import Path

import pytest

from MetaCaptioner.data.media_source import media_source, tar_place
from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.data.taxonomy import DOMAINS
from tests.export.conftest import Captions, Export, filtered
from tests.made_records import caption_record


@pytest.mark.parametrize("kind", ["conversations", "jsonl"])
def test_annotation_files_for_training_or_another_run(
    tmp_path: Path, captions: Captions, do_export: Export, kind: str
) -> None:
    results, records = captions
    out = tmp_path / "out"
    assert do_export(results, kind, "--output", out, "--instruction", "Tell.").status == 0
    datasets, problems = read_metafile(out / "Metafile.json", DOMAINS)
    assert not problems
    assert {name: dataset.modality for name, dataset in datasets.items()} == {
        "photos": "image",
        "the.clips/set": "video",
    }
    rows = []
    for dataset in datasets.values():
        text = dataset.annotation.read_text(encoding="utf-8")
        rows += json.loads(text) if kind == "conversations" else [json.loads(line) for line in text.split("\n") if line]
    assert [row["id"] for row in rows] == ["0", "one", "", "0", "7"]
    assert [row["sample_id"] for row in rows] == [record["sample_id"] for record in records]
    assert [row["conversations"][1]["value"] for row in rows] == [record["caption"] for record in records]
    assert rows[3]["conversations"][0]["value"] == "<video>\nTell."
    source = media_source(datasets["photos"].root, rows[2]["image"], tar_place(rows[2]["tar"]))
    assert source.read() == (tmp_path / "media" / "3.png").read_bytes()


def test_two_datasets_never_share_a_file(tmp_path: Path, do_export: Export) -> None:
    records = [caption_record(0, name=name) for name in ("a/b", "a_b")]
    do_export(filtered(tmp_path, records), "conversations", "--output", tmp_path / "out")
    metafile = json.loads((tmp_path / "out" / "Metafile.json").read_text())
    assert [entry["annotation"] for entry in metafile.values()] == ["a_b_1.json", "a_b.json"]


def test_media_below_other_roots_are_still_found(tmp_path: Path, do_export: Export) -> None:
    """A dataset that was moved between two runs has records with two roots; a Metafile has one."""
    place = {"file": "s.tar", "offset": 512, "size": 3}
    records = [caption_record(n, root=str(tmp_path / "old" if n == 1 else tmp_path / "new")) for n in range(4)]
    records[1] |= {"tar": place, "image": "1.png"}
    records[2] |= {"root": str(tmp_path / "old")}
    records.append(caption_record(4, root=str(tmp_path / "new")))
    do_export(filtered(tmp_path / "Caption", records), "jsonl", "--output", tmp_path / "out")
    [dataset] = read_metafile(tmp_path / "out" / "Metafile.json", DOMAINS)[0].values()
    rows = [json.loads(line) for line in dataset.annotation.read_text().splitlines()]
    found = [media_source(dataset.root, row["image"], tar_place(row.get("tar"))).path for row in rows]
    old, new = tmp_path / "old", tmp_path / "new"
    assert found == [new / "0.png", old / "s.tar", old / "2.png", new / "3.png", new / "4.png"]


def test_pictures_and_clips_of_a_dataset_have_a_file_each(tmp_path: Path, do_export: Export) -> None:
    """Also where another dataset has the name that the clips would get."""
    clips = [caption_record(n, modality="video", video=f"{n}.mp4") for n in (0, 2)]
    for clip in clips:
        del clip["image"]
    records = [*clips, caption_record(1), caption_record(0, name="photos_video")]
    do_export(filtered(tmp_path / "Caption", records), "jsonl", "--output", tmp_path / "out")
    datasets, problems = read_metafile(tmp_path / "out" / "Metafile.json", DOMAINS)
    assert not problems
    found = {name: (dataset.modality, dataset.length) for name, dataset in datasets.items()}
    assert found == {"photos": ("image", 1), "photos_video_": ("video", 2), "photos_video": ("image", 1)}


def test_a_row_is_a_line_however_lines_are_split(tmp_path: Path, do_export: Export) -> None:
    caption = "One\u2028two\u2029three\x85four\x0bfive\x0csix\r\nseven\x1eeight."
    results = filtered(tmp_path / "Caption", [caption_record(0, caption=caption), caption_record(1)])
    do_export(results, "jsonl", "--output", tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "photos.jsonl").read_bytes().decode().splitlines()]
    assert [row["conversations"][1]["value"] for row in rows] == [caption, "caption 1"]
