import gzip
import io
import json
import os
import tarfile
import tracemalloc
from pathlib import Path

import pytest
import webdataset

from MetaCaptioner.data.inputs.base import Notes
from MetaCaptioner.data.inputs.tars import tar_members
from MetaCaptioner.data.media_source import media_source, tar_place
from tests.data.inputs.building import Build, Built, Row, answer
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
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "train-*.tar")
    assert (list(built.entries), [row["id"] for row in built.rows]) == (["some", "train"], ["0", "1", "2"])
    done = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "test-*.tar", "--name", "none")
    assert (done.status, "1 of 1 shards are missing" in done.said) == (1, True)


def tar(path: Path, *members: tuple[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    """A tar of (name, content); where the content begins with `->`, it is a hard link, with `~>` a symbolic one."""
    with tarfile.open(path, "w", format=kind) as file:
        for name, data in members:
            info = tarfile.TarInfo(name)
            if data[:2] in (b"->", b"~>"):
                info.type = tarfile.LNKTYPE if data.startswith(b"->") else tarfile.SYMTYPE
                info.linkname = data[2:].decode()
                file.addfile(info)
            else:
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def read(built: Built) -> list[tuple[object, str, str | None]]:
    return [(row["id"], row.get("image") or row["video"], answer(row)) for row in built.rows]


def test_keys_with_dots_are_not_taken_together(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """Each picture keeps its own caption and id, also where the texts stand behind all pictures."""
    told = [json.dumps({"caption": f"told {n}", "id": f"x{n}"}).encode() for n in range(3)]
    pictures = [(f"v1.0_00{n}.png", pngs[n]) for n in range(3)]
    texts = [(f"v1.0_00{n}.json", told[n]) for n in range(3)]
    dated = [("photo.2024.05.01.png", pngs[0]), ("photo.2024.05.01.txt", b"one"), ("photo.2024.05.02.png", pngs[1])]
    sites = [("www.a.com_1.png", pngs[0]), ("www.b.com_1.png", pngs[1]), ("www.b.com_1.txt", b"of b")]
    alone = [("only.the.first.png", pngs[2]), ("only.the.first.txt", b"first"), ("some.caption.txt", b"role")]
    path = tar(tmp_path / "a.tar", *pictures, *texts, *dated, *sites, *alone, ("some.image.png", pngs[0]))
    built = build(tmp_path / "Metafile.json", "webdataset", path)
    assert read(built) == [
        *((f"x{n}", f"v1.0_00{n}.png", f"told {n}") for n in range(3)),
        *(("photo.2024.05.01", "photo.2024.05.01.png", "one"), ("photo.2024.05.02", "photo.2024.05.02.png", None)),
        *(("www.a.com_1", "www.a.com_1.png", None), ("www.b.com_1", "www.b.com_1.png", "of b")),
        *(("only.the.first", "only.the.first.png", "first"), ("some", "some.image.png", "role")),
    ]
    assert "left out" not in built.said
    assert [content(tmp_path, row) for row in built.rows[:3]] == pngs[:3]


def test_masks_and_stills_are_no_samples(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4).read_bytes()
    path = tar(
        tmp_path / "a.tar",
        *(("0.seg.png", pngs[1]), ("0.jpg", pngs[0]), ("0.depth.png", pngs[2]), ("0.json", b'{"caption":"c","id":7}')),
        *(("1.thumb.jpg", pngs[0]), ("1.jpg", pngs[1]), ("1.mp4", clip), ("1.txt", b"A clip."), ("1.ocr.txt", b"STOP")),
        *(("2.left.png", pngs[0]), ("2.right.png", pngs[1]), ("2.txt", b"Both.")),
        *(("3.rgb.png", pngs[0]), ("3.mask.png", pngs[1]), ("3.txt", b"Three.")),
    )
    built = build(tmp_path / "Metafile.json", "webdataset", path)
    assert read(built) == [
        *((7, "0.jpg", "c"), ("1", "1.mp4", "A clip."), ("2.left", "2.left.png", None)),
        *(("2.right", "2.right.png", None), ("3", "3.rgb.png", "Three.")),
    ]
    assert "left out: 5 pictures and clips beside the one that a sample is of, such as masks" in built.said
    assert "left out: 1 texts beside several pictures that have the name of none (first: 'a.tar[2.txt]')" in built.said
    assert "left out: 1 texts of a sample that are not taken for its caption (first: 'a.tar[1.ocr.txt]')" in built.said


def test_samples_that_cannot_be_read_are_counted(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    samples = [{"__key__": "1", "txt": b"?"}, {"__key__": "2", "png": b""}, {"__key__": "3", "png": pngs[3]}]
    write_shard(tmp_path / "a.tar", *samples)
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "a.tar")
    assert read(built) == [("3", "3.png", None)]
    assert "left out: 1 samples without a picture or clip (first: 'a.tar[1]')" in built.said
    assert "left out: 1 members that cannot be read in place (media_corrupt)" in built.said


def test_links_lead_to_the_content(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """A row names the member whose bytes they are, which a run checks; id and caption are the link's own."""
    path = tar(
        tmp_path / "a.tar",
        *(("./d/0.png", pngs[0]), ("./d/0.txt", b"zero"), ("./d/1.png", b"->./d/0.png"), ("./d/1.txt", b"one")),
        *(
            ("d/2.png", b"~>1.png"),
            ("d/2.txt", b"->d/0.txt"),
            ("e/3.png", b"~>../d/2.png"),
            ("e/4.png", b"~>/etc/x.png"),
        ),
        *(("e/5.png", b"~>6.png"), ("e/6.png", b"~>5.png")),
    )
    built = build(tmp_path / "Metafile.json", "webdataset", path)
    assert read(built) == [
        *(("./d/0", "./d/0.png", "zero"), ("./d/1", "./d/0.png", "one"), ("d/2", "./d/0.png", "zero")),
        ("e/3", "./d/0.png", None),
    ]
    assert [content(tmp_path, row) for row in built.rows] == [pngs[0]] * 4
    assert "left out: 3 links that lead to no file in the shard (first: 'a.tar[e/4.png]')" in built.said


def test_tars_that_were_joined_are_all_read(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    first = tar(tmp_path / "a.tar", ("0.png", pngs[0]), ("0.txt", b"first"), kind=tarfile.USTAR_FORMAT)
    second = tar(tmp_path / "b.tar", ("0.png", pngs[1]), ("0.txt", b"second"), ("1.png", pngs[2]))
    (tmp_path / "c.tar").write_bytes(first.read_bytes() + second.read_bytes())
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "c.tar")
    assert read(built) == [("0", "0.png", "first"), ("0", "0.png", "second"), ("1", "1.png", None)]
    assert [content(tmp_path, row) for row in built.rows] == pngs[:3]
    assert "note: 1 further tars in a shard, joined to it behind its end (first: 'c.tar')" in built.said


def test_what_a_tar_does_not_end_with_is_told(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """The library takes a broken header for the end."""
    whole = tar(tmp_path / "whole.tar", ("0.png", pngs[0]), ("1.png", pngs[1])).read_bytes()
    second = whole.rindex(b"1.png", 0, len(whole))
    broken = bytearray(whole)
    broken[second : second + 5] = b"x.png"
    for name, data, status, told in (
        ("broken", bytes(broken), 1, f"cannot be read to its end: at byte {second} is no header of a member"),
        ("behind", whole + b"not a tar" * 100, 1, "behind its end, at byte 10240, is something that is no tar"),
        ("odd", whole + b"\0" * 5 + whole, 1, "a second tar begins at byte 10245, no multiple of 512: take them apart"),
        ("cut", whole[:second], 0, "note: 1 shards without an end mark (were they cut off?)"),
    ):
        (tmp_path / f"{name}.tar").write_bytes(data)
        built = build(tmp_path / f"{name}.json", "webdataset", tmp_path / f"{name}.tar")
        assert (built.status, built.rows[0]["id"]) == (status, "0")
        assert told in built.said


def test_members_of_one_name_and_hidden_ones(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    twice = (("0.png", pngs[0]), ("0.txt", b"a"), ("0.png", pngs[1]), ("0.txt", b"b"))
    path = tar(tmp_path / "a.tar", *twice, ("._0.png", b"fork"), ("__MACOSX/0.png", b"fork"))
    built = build(tmp_path / "Metafile.json", "webdataset", path)
    assert read(built) == [("0", "0.png", "b")]
    assert content(tmp_path, built.rows[0]) == pngs[1]
    assert "left out: 2 members that a later one of the same name replaces (first: 'a.tar[0.png]')" in built.said
    assert "left out: 2 hidden members, such as a Mac's resource forks" in built.said


def test_members_that_lie_in_no_one_piece_or_are_no_files(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as file:
        for name, kind in (("0.png", tarfile.GNUTYPE_SPARSE), ("1.png", tarfile.FIFOTYPE), ("2.png", tarfile.REGTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, 0 if kind == tarfile.FIFOTYPE else len(pngs[0])
            file.addfile(info, io.BytesIO(pngs[0]))
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "a.tar")
    assert read(built) == [("2", "2.png", None)]
    assert "left out: 1 sparse members, which do not lie in one piece (first: 'a.tar[0.png]')" in built.said
    assert "left out: 1 members that are no files (first: 'a.tar[1.png]')" in built.said


def test_captions_in_many_forms(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    texts = (
        *(
            ("0.json", b'{"caption":["a","b"], "id": 2.0}'),
            ("1.json", b'["a"]'),
            ("2.caption", b"hello"),
            ("3.TXT", b"up"),
        ),
        *(("4.txt", b"caf\xe9"), ("5.txt", "é".encode("utf-16")), ("6.json", b'{"caption":{"en":"e"},"id":[1]}')),
        *(("7.json", b'{"caption":null,"key":"7"}'), ("7.txt", b"")),
    )
    path = tar(tmp_path / "a.tar", *((f"{n}.JPG", pngs[0]) for n in range(8)), *texts)
    built = build(tmp_path / "Metafile.json", "webdataset", path)
    assert [(row["id"], answer(row)) for row in built.rows] == [
        *((2, "a"), ("1", None), ("2", "hello"), ("3", "up"), ("4", None), ("5", "é"), ("6", None), ("7", None))
    ]
    for line in (
        "note: 1 rows with several captions, of which the first is kept (first: 'a.tar[0.JPG]')",
        "left out: 1 .json members that hold no object (first: 'a.tar[1.json]')",
        "left out: 1 captions that are no UTF-8 text (first: 'a.tar[4.txt]')",
        "left out: 1 captions that are no text but an object of en (first: 'a.tar[6.JPG]')",
        "note: 1 ids that are missing, or neither text nor number",
    ):
        assert line in built.said
    built = build(tmp_path / "b.json", "webdataset", path, "--name", "b", "--caption-column", "caption.en")
    assert [answer(row) for row in built.rows] == [*[None] * 6, "e", None]


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


def test_memory_is_the_names_of_one_shard(tmp_path: Path) -> None:
    samples = [{"__key__": f"{number:06d}", "png": b"x" * 5000} for number in range(2000)]
    path = write_shard(tmp_path / "a.tar", *samples)
    tracemalloc.start()
    assert [len(members) for members in tar_members(path, Notes())] == [2000]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * 2**20 < path.stat().st_size / 4


def test_compressed_shards_are_told_apart(build: Build, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "a.tar.gz").touch()
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "shards")
    assert built.status == 1
    assert "a.tar.gz is compressed: unpack it to .tar" in built.said
    (tmp_path / "shards" / "b.tar").write_bytes(gzip.compress(b"?"))
    built = build(tmp_path / "Metafile.json", "webdataset", tmp_path / "shards")
    assert "left out: 1 compressed shards: unpack them to .tar" in built.said
    assert "b.tar: cannot be read to its end: it is gzip-compressed: unpack it" in built.said
