import hashlib
import json
import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from MetaCaptioner.data.export_manifest import NAME
from MetaCaptioner.data.inputs import folder
from tests.data.inputs.building import Build, answer
from tests.helpers import make_clip, picture_rows


def test_a_tree_of_pictures_and_clips_with_some_captions(build: Build, tmp_path: Path) -> None:
    data = tmp_path / "photos"
    picture_rows(data / "b", 2)
    picture_rows(data, 1)
    (data / "0.png").rename(data / "Z.PNG")
    make_clip(data / "a.mp4", 4)
    (data / "b" / "1.txt").write_text("\ufeff A red square.\n", encoding="utf-8")
    (data / "b" / "0.txt").write_text(" \n")
    (data / ".hidden").mkdir()
    picture_rows(data / ".hidden", 1)
    (data / "._Z.PNG").write_bytes(b"resource fork")
    (data / "notes.pdf").touch()
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert (built.status, list(built.entries)) == (0, ["photos"])
    assert [(row["id"], row.get("image") or row["video"]) for row in built.rows] == [
        *(("Z.PNG", "Z.PNG"), ("a.mp4", "a.mp4"), ("b/0.png", "b/0.png"), ("b/1.png", "b/1.png"))
    ]
    assert [answer(row) for row in built.rows] == [None, None, None, "A red square."]
    assert built.rows[3]["conversations"][0] == {"from": "human", "value": "<image>\nDescribe this in detail."}
    assert built.entries["photos"] == {
        **{"root": "photos", "annotation": "photos.jsonl", "length": 4, "task": "auto", "sample_count": 4},
        "modality": "image",
    }
    assert "left out: 1 files that are neither picture nor clip by their names (first: 'notes.pdf')" in built.said
    assert "3 images, 1 videos, 1 with a caption" in built.said


def test_links_are_followed_but_not_in_circles(build: Build, tmp_path: Path) -> None:
    picture_rows(tmp_path / "elsewhere", 1)
    data = tmp_path / "data"
    picture_rows(data / "own", 1)
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    (data / "own" / "circle").symlink_to(data)
    built = build(tmp_path / "Metafile.json", "folder", data, "--allow-outside-root")
    assert [row["image"] for row in built.rows] == ["linked/0.png", "own/0.png"]


def test_odd_names_and_captions_cost_no_row(build: Build, tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture_rows(data, 4)
    (data / "0.png").rename(data / "a\nb.png")
    (data / "1.png").rename(data / "日本 {x}.png")
    (data / "2.png").rename(data / "not-utf8-\udcff.png")
    (data / "3.txt").write_bytes(b"caf\xe9, Latin-1")
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert built.status == 0
    assert sorted(row["image"] for row in built.rows) == ["3.png", "a\nb.png", "日本 {x}.png"]
    assert "left out: 1 names that are no UTF-8 text" in built.said
    assert "left out: 1 captions that are no UTF-8 text" in built.said


def test_everything_that_is_passed_over_is_counted(build: Build, tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture_rows(data, 3)
    (data / "0.TXT").write_text("Upper case.")
    (data / "0.txt").write_text("Another.")
    (data / "1.jpg").write_bytes((data / "1.png").read_bytes())
    (data / "1.txt").write_text("Of two files.", encoding="utf-16")
    (data / "README.txt").write_text("About these data.")
    (data / "empty.png").touch()
    (data / "broken.png").symlink_to("none.png")
    (data / "folder.png").mkdir()
    os.mkfifo(data / "pipe.png")
    (data / ".DS_Store").touch()
    (data / "index.ts").write_text("export const a = 1;")
    packet = b"\x47" + b"\0" * 187
    (data / "stream.ts").write_bytes(packet * 3)
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert [(row.get("image") or row["video"], answer(row)) for row in built.rows] == [
        *(("0.png", "Upper case."), ("1.jpg", "Of two files."), ("1.png", "Of two files."), ("2.png", None)),
        ("stream.ts", None),
    ]
    for line in (
        "left out: 1 texts that have the name of no picture or clip (first: 'README.txt')",
        "left out: 1 texts of a picture that has one already (first: '0.txt')",
        "left out: 1 files that are empty (first: 'empty.png')",
        "left out: 1 files that cannot be read (No such file or directory) (first: 'broken.png')",
        "left out: 1 names of pictures and clips that are no files (first: 'pipe.png')",
        "left out: 1 hidden files and folders (first: '.DS_Store')",
        "left out: 1 .ts files that are no MPEG transport stream (such as TypeScript) (first: 'index.ts')",
        "note: 1 texts that are the caption of several files of one name (first: '1.txt')",
    ):
        assert line in built.said
    assert built.said.count("left out: ") == 7


def test_texts_are_matched_to_pictures_whatever_stands_between(build: Build, tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture_rows(data, 1)
    png = (data / "0.png").read_bytes()
    (data / "0.png").unlink()
    for name in ("a.webp", "a.b.png", "a-b.png", "a.d/a.png"):
        (data / name).parent.mkdir(exist_ok=True)
        (data / name).write_bytes(png)
    for name in ("a.txt", "a.b.txt", "a.d.txt", "a.d/b.txt"):
        (data / name).write_text(name)
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert {row["image"]: answer(row) for row in built.rows} == {
        **{"a.webp": "a.txt", "a.b.png": "a.b.txt", "a-b.png": None, "a.d/a.png": None}
    }
    assert [row["image"] for row in built.rows] == sorted(row["image"] for row in built.rows)
    assert "left out: 2 texts that have the name of no picture or clip (first: 'a.d.txt')" in built.said


def test_captions_that_an_export_wrote_are_not_given_ones(build: Build, tmp_path: Path) -> None:
    """The list that an export keeps tells them, in the folder, above or below it; an edited one is the user's."""
    data = tmp_path / "all" / "data"
    written = {}
    picture_rows(data / "below", 3)
    picture_rows(data, 3)
    for name in ("data/0", "data/1", "data/2"):
        text = f"Caption of {name}."
        (tmp_path / "all" / f"{name}.txt").write_text(text)
        written[f"{name}.txt"] = hashlib.sha256(text.encode()).hexdigest()
    (data / "1.txt").write_text("Edited.")
    (data / "below" / "0.txt").write_text("Ours.")
    below = {"format": 1, "files": {"0.txt": hashlib.sha256(b"Ours.").hexdigest(), "1.txt": "5"}}
    (data / "below" / NAME).write_text(json.dumps(below))
    (tmp_path / "all" / NAME).write_text(json.dumps({"format": 1, "files": written}))
    (data / NAME).write_text("{broken")
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert (built.status, f"{data / NAME}: tells not what exports wrote here" in built.said) == (1, True)
    (data / NAME).unlink()
    built = build(tmp_path / "Metafile.json", "folder", data)
    assert {row["image"]: answer(row) for row in built.rows if answer(row)} == {"1.png": "Edited."}
    assert "left out: 3 captions that an export wrote" in built.said
    assert "hidden" not in built.said


def test_nothing_found_is_an_error(build: Build, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.pdf").touch()
    for place, complaint in (("data", "no picture and no clip was found"), ("none", "is not a folder")):
        built = build(tmp_path / "Metafile.json", "folder", tmp_path / place)
        assert built.status == 1
        assert complaint in built.said
        assert built.said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_many_names_are_sorted_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_SORTED_IN_MEMORY", 10)
    names = [f"{number}\n\udcff" for number in range(37)] * 2
    random.Random(0).shuffle(names)
    assert list(folder.sorted_on_disk(names)) == sorted(names)
    assert list(folder.sorted_on_disk([])) == []


def test_memory_does_not_grow_with_a_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "_SORTED_IN_MEMORY", 1000)

    def peak(count: int) -> int:
        def names() -> Iterator[str]:
            yield from (f"{number * 7919 % count:09d}-some-longer-name-of-a-file.jpg" for number in range(count))

        tracemalloc.start()
        assert sum(1 for _ in folder.sorted_on_disk(names())) == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(40_000) < 4 * peak(4_000)
