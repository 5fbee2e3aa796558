"""What an input names or links to outside of it, and what is there but is no file: none of it becomes a row."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from MetaCaptioner.data.inputs.huggingface_origin import Origin
from MetaCaptioner.data.media_source import media_source, tar_place
from MetaCaptioner.utils.safe_open import OutsideRoot
from tests.data.inputs.building import Build, Built
from tests.helpers import picture_rows

pytestmark = pytest.mark.timeout(120)  # what is waited for here would be waited for without end

FLAG = "--allow-outside-root"
LEFT_OUT = "names that lead out of the root, and links (--allow-outside-root takes them)"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A picture outside, and a text."""
    picture_rows(tmp_path / "outside", 1)
    (tmp_path / "outside" / "key.txt").write_text("a secret key")
    return tmp_path / "outside" / "0.png"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    picture_rows(tmp_path / "data", 2)
    return tmp_path / "data"


def names(built: Built) -> list[str]:
    return [row["image"] for row in built.rows]


def test_a_folder(build: Build, tmp_path: Path, data: Path, secret: Path) -> None:
    (data / "link.png").symlink_to(secret)
    (data / "sub").symlink_to(secret.parent)
    (data / "0.txt").symlink_to(secret.with_name("key.txt"))
    (data / "own.png").symlink_to("0.png")
    os.mkfifo(data / "fifo.png")
    os.mkfifo(data / "1.txt")
    built = build(tmp_path / "M.json", "folder", data)
    assert (built.status, names(built)) == (0, ["0.png", "1.png", "own.png"])
    assert not any("conversations" in row for row in built.rows)
    assert f"left out: 3 {LEFT_OUT}" in built.said
    assert "left out: 1 names of pictures and clips that are no files (first: 'fifo.png')" in built.said
    assert "left out: 1 captions that cannot be read (is a FIFO, not a file)" in built.said
    built = build(tmp_path / "M.json", "folder", data, FLAG, "--replace")
    assert names(built) == ["0.png", "1.png", "link.png", "own.png", "sub/0.png"]
    assert built.rows[0]["conversations"][1]["value"] == "a secret key"


def test_a_table(build: Build, tmp_path: Path, data: Path, secret: Path) -> None:
    paths = ["0.png", str(data / "1.png"), str(secret), "../outside/0.png", f"file://{secret}", "..\\outside\\0.png"]
    (data / "a.csv").write_text("\n".join(["path", *paths]) + "\n")
    built = build(tmp_path / "M.json", "table", data / "a.csv")
    assert names(built) == paths[:2]
    assert f"left out: 4 {LEFT_OUT} (first: 'line 4: {secret}')" in built.said
    assert len(build(tmp_path / "M.json", "table", data / "a.csv", FLAG, "--replace").rows) == 6


def test_coco(build: Build, tmp_path: Path, data: Path, secret: Path) -> None:
    images = [{"id": n, "file_name": name} for n, name in enumerate(["0.png", str(secret), "../outside/0.png"])]
    (data / "c.json").write_text(json.dumps({"images": images}))
    built = build(tmp_path / "M.json", "coco", data / "c.json")
    assert names(built) == ["0.png"]
    assert f"left out: 2 {LEFT_OUT}" in built.said
    assert len(build(tmp_path / "M.json", "coco", data / "c.json", FLAG, "--replace").rows) == 3


def test_members_of_a_tar(build: Build, tmp_path: Path, data: Path) -> None:
    content = (data / "0.png").read_bytes()
    with tarfile.open(data / "a.tar", "w") as file:
        for name in ("a.png", "./b.png", "../c.png", "/d.png", "sub/../../e.png"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("f.png")
        link.type, link.linkname = tarfile.SYMTYPE, "../outside/0.png"
        file.addfile(link)
    built = build(tmp_path / "M.json", "webdataset", data / "a.tar")
    assert names(built) == ["a.png", "./b.png"]
    assert f"left out: 3 {LEFT_OUT} (first: 'a.tar[../c.png]')" in built.said
    assert "left out: 1 links that lead to no file in the shard" in built.said


def test_a_tar_behind_a_link(build: Build, tmp_path: Path, data: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        file.add(data / "0.png", "a.png")
    (data / "a.tar").symlink_to("../a.tar")
    built = build(tmp_path / "M.json", "webdataset", data)
    told = f"error: shard {data / 'a.tar'}: lies outside the root {data}, behind a link; {FLAG} takes it\n"
    assert (built.status, built.said) == (1, told)
    assert names(build(tmp_path / "M.json", "webdataset", data, FLAG)) == ["a.png"]


# --- Hugging Face


def parquet(folder: Path, cells: list[Any]) -> Path:
    folder.mkdir(exist_ok=True)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(cells, kind)}), folder / "train.parquet")
    return folder


def packed(metafile: Path, built: Built, name: str = "p") -> list[bytes]:
    root = metafile.parent / built.entries[name]["root"]
    return [media_source(root, row["image"], tar_place(row["tar"])).read() for row in built.rows]


def test_cells_name_files_of_the_dataset_alone(build: Build, tmp_path: Path, data: Path, secret: Path) -> None:
    """A key that this machine can read would be in shards that are put on the net."""
    (data / "link.png").symlink_to(secret)
    (data / "own.png").symlink_to("1.png")
    os.mkfifo(data / "fifo.png")
    for path, picture in ((tmp_path / "a.zip", secret), (data / "own.zip", data / "0.png")):
        with ZipFile(path, "w") as file:
            file.write(picture, "0.png")
    own = ["0.png", "own.png", "zip://0.png::own.zip", f"zip://0.png::{data}/own.zip"]
    outside = [str(secret), "../outside/0.png", "link.png", "zip://0.png::../a.zip", f"zip://0.png::{tmp_path}/a.zip"]
    outside += ["hf://datasets/some/other/0.png"]
    elsewhere = [f"file://{secret}", f"file://{secret}::own.zip", "hf://buckets/x/0.png", "fifo.png"]
    place = parquet(data, [{"bytes": None, "path": path} for path in (*own, *outside, *elsewhere)]) / "train.parquet"
    metafile = tmp_path / "out" / "M.json"
    built = build(metafile, "huggingface", place, "--name", "p")
    first, second = ((data / name).read_bytes() for name in ("0.png", "1.png"))
    assert packed(metafile, built) == [first, second, first, first]
    assert f"left out: {len(outside)} {LEFT_OUT}" in built.said
    assert f"left out: {len(elsewhere)} rows whose file in the column 'image' cannot be read" in built.said
    place = parquet(data, [{"bytes": None, "path": path} for path in (*own, *outside[:-1])]) / "train.parquet"
    built = build(metafile, "huggingface", place, "--name", "p", FLAG, "--replace")
    assert packed(metafile, built) == [first, second, first, first, *[secret.read_bytes()] * 5]


def test_a_dataset_on_the_hub_has_no_files_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another dataset on the Hub would be read by the user's own right, though they are private."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "0.png").write_bytes(b"")
    origin = Origin("user/name", None, anywhere=False)
    for name in ("hf://datasets/user/name-2/a.png", "hf://datasets/user/name/../secret/a.png"):
        with pytest.raises(OutsideRoot):
            origin.read(name)
    with pytest.raises(OSError, match="is no file of the dataset"):
        origin.read("0.png")


def test_data_files_are_those_of_the_folder(build: Build, tmp_path: Path, secret: Path) -> None:
    """Links among them, what a saved dataset calls its files, and what a card says."""
    cells = [{"bytes": secret.read_bytes(), "path": None}]
    other = parquet(tmp_path / "other", cells)
    saved = datasets.Dataset.from_dict({"image": [str(secret)]}).cast_column("image", datasets.Image())
    saved.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "data-00000-of-00001.arrow").rename(tmp_path / "outside.arrow")
    state = json.loads((tmp_path / "saved" / "state.json").read_text())
    state["_data_files"] = [{"filename": "../outside.arrow"}]
    (tmp_path / "saved" / "state.json").write_text(json.dumps(state))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "train.parquet").symlink_to(other / "train.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "data").symlink_to(other)
    card = "---\nconfigs:\n- config_name: a\n  data_files: ../other/train.parquet\n---\n"
    (tmp_path / "card").mkdir()
    (tmp_path / "card" / "README.md").write_text(card)
    for name in ("saved", "linked", "folder", "card"):
        built = build(tmp_path / "out" / "M.json", "huggingface", tmp_path / name)
        assert (built.status, built.said.count("\n")) == (1, 1), built.said
        assert f"leads out of it; {FLAG} takes it" in built.said, built.said
        if name == "folder":  # which the library itself does not enter
            continue
        built = build(tmp_path / "out" / f"{name}.json", "huggingface", tmp_path / name, FLAG)
        assert packed(tmp_path / "out" / "M.json", built, name) == [secret.read_bytes()], built.said


def test_a_table_that_is_a_fifo_is_not_waited_for(build: Build, tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    os.mkfifo(tmp_path / "hub" / "train.parquet")
    for name in ("a.csv", "a.tsv", "a.parquet", "a.json", "a.tar"):
        os.mkfifo(tmp_path / name)
    tables = [("table", f"a.{suffix}") for suffix in ("csv", "tsv", "parquet")]
    others = [("coco", "a.json"), ("huggingface", "hub"), ("huggingface", "a.parquet"), ("webdataset", "a.tar")]
    for kind, name in (*tables, *others):
        built = build(tmp_path / "M.json", kind, tmp_path / name)
        assert (built.status, built.said.count("\n")) == (1, 1), built.said
