import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from MetaCaptioner.data import media_source
from MetaCaptioner.data.media_source import MediaSource, Stretch, TarPlace, tar_place
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media import loader
from MetaCaptioner.media.clip import VideoFacts, Wanted
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.loader import MediaBudget, load_media
from tests.helpers import make_clip, pack, picture_rows

BUDGET = MediaBudget()


def member(root: Path, name: str, place: dict[str, Any], modality: Modality = "image") -> Sample:
    return Sample("set", 0, root, name, modality, tar=tar_place(place))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    picture_rows(tmp_path, 3)
    return tmp_path


def test_a_picture_in_a_tar_is_the_picture_of_the_file(pictures: Path) -> None:
    files = [pictures / f"{number}.png" for number in range(3)]
    places = pack(pictures / "a.tar", *files)
    for path in files:
        alone = load_media(Sample("set", 0, pictures, path.name, "image"), BUDGET)
        packed = load_media(member(pictures, path.name, places[path.name]), BUDGET)
        assert (packed.media_id, packed.content_hash) == (alone.media_id, alone.content_hash)
        assert packed.data == alone.data


def test_a_clip_in_a_tar_is_the_clip_of_the_file(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 12)
    (tmp_path / "before.bin").write_bytes(os.urandom(70_000))
    # Commas and colons mean something in FFmpeg's addresses.
    place = pack(tmp_path / "x, 1:2.tar", tmp_path / "before.bin", clip, tmp_path / "before.bin")["a.mp4"]
    alone = load_media(Sample("set", 0, tmp_path, "a.mp4", "video"), BUDGET)
    packed = load_media(member(tmp_path, "a.mp4", place, "video"), BUDGET)
    assert np.array_equal(packed.data, alone.data)
    assert (packed.content_hash, packed.frame_times) == (alone.content_hash, alone.frame_times)


@pytest.mark.parametrize("name", ["ж" * 20 + ".png", "folder/" * 40 + "a.png", "a" * 99 + ".png"])
def test_names_that_a_plain_header_cannot_hold(pictures: Path, name: str) -> None:
    place = pack(pictures / "a.tar", pictures / "0.png", pictures / "1.png", names=("0.png", name))[name]
    assert load_media(member(pictures, name, place), BUDGET).width == 56


def refused(sample: Sample) -> tuple[str, str]:
    with pytest.raises(SampleError) as raised:
        load_media(sample, BUDGET)
    return raised.value.kind, raised.value.message


def test_a_tar_that_is_not_there(pictures: Path) -> None:
    place = {"file": "none.tar", "offset": 512, "size": 5}
    message = f"{pictures}/none.tar: there is no such file"
    assert refused(member(pictures, "0.png", place)) == ("media_missing", message)


def test_a_tar_that_was_cut_off(pictures: Path) -> None:
    place = pack(pictures / "a.tar", pictures / "0.png")["0.png"]
    os.truncate(pictures / "a.tar", place["offset"] + place["size"] - 1)
    kind, message = refused(member(pictures, "0.png", place))
    assert kind == "media_corrupt"
    assert message == f"{pictures}/a.tar[0.png]: the tar file ends before the end of this member"


def test_a_tar_that_was_packed_anew_is_never_read_at_the_wrong_place(pictures: Path) -> None:
    same_size = shutil.copy(pictures / "0.png", pictures / "00.png")
    places = pack(pictures / "a.tar", pictures / "0.png", same_size)
    for files in ([same_size, pictures / "0.png"], [pictures / "1.png", pictures / "0.png"]):
        (pictures / "0.png").touch()
        pack(pictures / "a.tar", *files)
        kind, message = refused(member(pictures, "0.png", places["0.png"]))
        assert kind == "media_corrupt"
        assert "packed anew?" in message
    (pictures / "a.tar").write_bytes(bytes(10_240))
    assert refused(member(pictures, "0.png", places["0.png"]))[0] == "media_corrupt"


def test_an_empty_member(pictures: Path) -> None:
    (pictures / "empty.png").touch()
    place = pack(pictures / "a.tar", pictures / "empty.png")["empty.png"]
    message = f"{pictures}/a.tar[empty.png]: the file is empty"
    assert refused(member(pictures, "empty.png", place)) == ("media_corrupt", message)


def test_the_bounds_of_files_hold_for_members(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = pack(pictures / "a.tar", pictures / "0.png")["0.png"]
    sample = member(pictures, "0.png", place)
    monkeypatch.setattr(loader, "_MAX_IMAGE_BYTES", place["size"])
    assert load_media(sample, BUDGET).width == 56  # the size of the whole tar file does not matter
    monkeypatch.setattr(loader, "_MAX_IMAGE_BYTES", place["size"] - 1)
    assert refused(sample)[0] == "media_too_large"


def test_a_member_is_read_within_its_bounds(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_bytes(name.encode() * 700)
    place = tar_place(pack(tmp_path / "a.tar", *(tmp_path / name for name in "abc"))["b"])
    source = MediaSource(tmp_path / "a.tar", "b", place)
    assert source.read() == b"b" * 700
    with source.open() as file:
        assert file.seek(-3, os.SEEK_END) == 697
        assert file.read(100) == b"bbb"
        assert file.seek(5000) == 5000
        assert file.read() == b""
        assert file.seek(0) == 0
        assert file.read(2) == b"bb"
    assert source.hash() == MediaSource(tmp_path / "b").hash()


def test_sizes_are_read_from_the_headers_of_members(pictures: Path) -> None:
    place = tar_place(pack(pictures / "a.tar", pictures / "0.png", pictures / "1.png")["1.png"])
    with MediaSource(pictures / "a.tar", "1.png", place).open() as file, Image.open(file) as image:
        assert image.size == (56, 56)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"file": "a.tar", "offset": 512}, "size"),
        ({"file": "a.tar", "offset": "512", "size": 1}, "offset"),
        ({"file": "a.tar", "offset": 0, "size": 1}, "tar.offset"),
        ({"file": "a.tar", "offset": 700, "size": 1}, "tar.offset"),
        ({"file": "a.tar", "offset": 512, "size": -1}, "tar.size"),
        ({"file": " ", "offset": 512, "size": 1}, "tar.file"),
        ({"file": "http://x/a.tar", "offset": 512, "size": 1}, "address"),
        ({"file": "a\0.tar", "offset": 512, "size": 1}, "NUL"),
        ("a.tar", "str"),
    ],
)
def test_a_place_that_cannot_be(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        tar_place(value)


def test_no_place() -> None:
    assert tar_place(None) is None
    assert tar_place({"file": "a.tar", "offset": 512, "size": 0}) == TarPlace("a.tar", 512, 0)


# --- outside the root


@pytest.fixture
def outside(pictures: Path) -> Path:
    """A root with links out of it: to a picture, to a folder of pictures, to a tar file."""
    place = pack(pictures / "a.tar", pictures / "1.png")["1.png"]
    root = pictures / "root"
    root.mkdir()
    (root / "link.png").symlink_to("../1.png")
    (root / "folder").symlink_to(pictures)
    (root / "a.tar").symlink_to(pictures / "a.tar")
    (root / "place.json").write_text(json.dumps(place))
    return root


def samples_outside(root: Path) -> list[Sample]:
    place = json.loads((root / "place.json").read_text())
    named = ("link.png", "folder/1.png", "../1.png", str(root.parent / "1.png"), f"file://{root.parent}/1.png")
    tars = [{**place, "file": name} for name in ("a.tar", "../a.tar", str(root.parent / "a.tar"))]
    return [Sample("set", 0, root, name, "image") for name in named] + [member(root, "1.png", tar) for tar in tars]


def test_media_outside_the_root_are_not_read_unless_that_is_allowed(outside: Path) -> None:
    for sample in samples_outside(outside):
        kind, message = refused(sample)
        assert kind == "media_outside_root"
        assert message.startswith(f"{sample.source.path}: lies outside the root {outside}")
        assert message.endswith("; name a root that it is below, or say --allow-outside-root")
        assert load_media(replace(sample, allow_outside_root=True), BUDGET).width == 56


def test_a_clip_outside_the_root_is_not_read(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", 12)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.mp4").symlink_to("../a.mp4")
    sample = Sample("set", 0, tmp_path / "root", "a.mp4", "video")
    assert refused(sample)[0] == "media_outside_root"
    with pytest.raises(SampleError, match="outside the root"):
        pool.clip(sample.source, BUDGET.limits, first_frame)  # where it was put there since the look at it


def first_frame(facts: VideoFacts) -> Wanted:
    return Wanted((0,), facts.width, facts.height)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("modality", ["image", "video"])
def test_a_fifo_is_no_media(tmp_path: Path, modality: Modality) -> None:
    os.mkfifo(tmp_path / "a")
    told = f"{tmp_path / 'a'}: is a FIFO, not a file"
    assert refused(Sample("set", 0, tmp_path, "a", modality)) == ("media_missing", told)


def test_a_file_of_the_kernel_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("/proc/version")
    sample = Sample("set", 0, tmp_path, "a.jpg", "image", allow_outside_root=True)
    assert refused(sample) == ("media_corrupt", f"{tmp_path / 'a.jpg'}: the file is empty")


def test_a_file_of_nothing_but_a_size_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "a.jpg").open("wb") as file:
        file.truncate(2**40)
    assert refused(Sample("set", 0, tmp_path, "a.jpg", "image"))[0] == "media_too_large"


def test_a_stretch_is_read_to_its_end_or_that_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_source, "_MOST_AT_ONCE", 1000)
    (tmp_path / "a").write_bytes(content := bytes(range(256)) * 40)
    with (tmp_path / "a").open("rb") as file:
        assert Stretch(file.fileno(), 100, 5000).read() == content[100:5100]
        assert Stretch(file.fileno(), 100, 2**40).read() == content[100:]
        assert Stretch(file.fileno(), 2**20, 10).read() == b""
