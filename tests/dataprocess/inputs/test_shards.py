import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import webdataset
from inputs import shards

from MetaCaptioner.metafile import media_source
from MetaCaptioner.source import tar_place
from tests.dataprocess.inputs.building import Build, Row, answer
from tests.helpers import make_clip, picture_rows


def write_shard(path: Path, *samples: Row) -> Path:
    """A shard as the library writes it; each sample is its key and the content by extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for sample in samples:
            writer.write(sample)
    return path


@pytest.fixture
def pngs(tmp_path: Path) -> list[bytes]:
    picture_rows(tmp_path / "pictures", 4)
    return [(tmp_path / "pictures" / f"{number}.png").read_bytes() for number in range(4)]


def content(root: Path, row: Row) -> bytes:
    return media_source(root, row.get("image") or row["video"], tar_place(row["tar"])).read()


def test_shards_are_read_in_place(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4).read_bytes()
    told = json.dumps({"id": "x-1", "caption": "told", "url": "…"}).encode()
    first = [{"__key__": "a/000", "png": pngs[0], "txt": b"A caption.\n"}, {"__key__": "a/001", "png": pngs[1]}]
    write_shard(tmp_path / "shards" / "one" / "train-0.tar", *first)
    last = [{"__key__": "a/002", "jpg": pngs[2], "json": told}, {"__key__": "a/003", "mp4": clip}]
    write_shard(tmp_path / "shards" / "train-1.tar", *last)
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "shards")
    assert built.status == 0
    assert [(row["id"], answer(row)) for row in built.rows] == [
        *(("a/000", "A caption."), ("a/001", None), ("x-1", "told"), ("a/003", None))
    ]
    assert [row["tar"]["file"] for row in built.rows] == ["one/train-0.tar"] * 2 + ["train-1.tar"] * 2
    root = tmp_path / built.entries["shards"]["root"]
    assert [content(root, row) for row in built.rows] == [*pngs[:3], clip]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} >= {"Metafile.json", "shards.jsonl"}
    assert len(list((tmp_path / "shards").rglob("*"))) == 3  # nothing was unpacked


def test_a_pattern_names_shards_and_the_dataset(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    for number in range(3):
        write_shard(tmp_path / f"train-{number:03d}.tar", {"__key__": str(number), "png": pngs[number]})
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "train-{001..002}.tar", "--name", "some")
    assert [row["id"] for row in built.rows] == ["1", "2"]
    done = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "train-{001..004}.tar", "--name", "more")
    assert done.status == 1
    assert "2 of 4 shards are missing (first: " in done.said


def test_several_media_of_one_sample_and_samples_without(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    several = {"__key__": "0", "left.png": pngs[0], "right.png": pngs[1], "txt": b"Both."}
    samples = [several, {"__key__": "1", "txt": b"?"}, {"__key__": "2", "png": b""}, {"__key__": "3", "png": pngs[3]}]
    write_shard(tmp_path / "a.tar", *samples)
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "a.tar")
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [
        *(("0", "0.left.png", "Both."), ("0.1", "0.right.png", "Both."), ("3", "3.png", None))
    ]
    assert "left out: 1 samples without a picture or clip (first: 'a.tar[1]')" in built.said
    assert "left out: 1 members that cannot be read in place (media_corrupt)" in built.said


def test_other_tars_than_the_library_writes(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """Long and foreign names, links and folders, as GNU tar and Python pack them."""
    for kind, name in ((tarfile.GNU_FORMAT, "gnu"), (tarfile.PAX_FORMAT, "pax")):
        with tarfile.open(tmp_path / f"{name}.tar", "w", format=kind) as tar:
            tar.add(tmp_path / "pictures", "folder", recursive=False)
            for member in (f"{'long/' * 40}a.png", "日本/b.png", "._c.png"):
                info = tarfile.TarInfo(member)
                info.size = len(pngs[0])
                tar.addfile(info, io.BytesIO(pngs[0]))
            link = tarfile.TarInfo("folder/link.png")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
        built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / f"{name}.tar")
        assert [row["image"] for row in built.rows] == [f"{'long/' * 40}a.png", "日本/b.png"]
        assert [content(tmp_path, row) for row in built.rows] == [pngs[0]] * 2


def test_a_broken_shard_costs_what_is_behind_the_break(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    samples = [{"__key__": str(number), "png": png} for number, png in enumerate(pngs)]
    cut = write_shard(tmp_path / "shards" / "0.tar", *samples)
    os.truncate(cut, 1500)
    write_shard(tmp_path / "shards" / "1.tar", {"__key__": "whole", "png": pngs[0]})
    (tmp_path / "shards" / "2.tar").write_bytes(gzip.compress(cut.read_bytes()))
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "shards")
    assert built.status == 1
    assert [row["id"] for row in built.rows][-1] == "whole"
    for name in ("0.tar", "2.tar"):
        assert f"error: shard {tmp_path}/shards/{name}: cannot be read to its end" in built.said


def test_memory_does_not_grow_with_a_shard(tmp_path: Path) -> None:
    samples = [{"__key__": str(number), "png": b"x"} for number in range(300)]
    with tarfile.open(write_shard(tmp_path / "a.tar", *samples), "r:") as tar:
        assert [len(tar.members) for _ in shards._members(tar)] == [0] * 300


def test_compressed_shards_are_told_apart(build: Build, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.tar.gz").touch()
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "shards")
    assert built.status == 1
    assert "a.tar.gz is compressed: unpack it to .tar" in built.said
