import unicodedata
from pathlib import Path

import pytest

from MetaCaptioner.data.media_source import TarPlace, media_source
from MetaCaptioner.errors import SampleError
from MetaCaptioner.utils.path_spelling import find, hint, local_name

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Café/Ångström é.jpg") for form in ("NFC", "NFD"))


def make(root: Path, name: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"content")
    return path


def missing(root: Path, name: str) -> str:
    with pytest.raises(SampleError) as raised:
        media_source(root, name, None).look()
    assert raised.value.kind == "media_missing"
    return raised.value.message


@pytest.mark.parametrize(
    ("there", "named"),
    [
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("train/a b.jpg", "train\\a b.jpg"),
        ("train/x/a.jpg", ".\\train\\x\\a.jpg"),
        (COMPOSED, DECOMPOSED.replace("/", "\\")),
        ("a.jpg", "./a.jpg"),
        ("train\\a.jpg", "train\\a.jpg"),
    ],
)
def test_a_file_is_found_however_its_name_is_written(tmp_path: Path, there: str, named: str) -> None:
    path = make(tmp_path, there)
    source = media_source(tmp_path, named, None)
    assert source.path.samefile(path)
    assert source.read() == b"content"


def test_the_rows_own_bytes_come_first(tmp_path: Path) -> None:
    for name in (COMPOSED, DECOMPOSED, "a\\b.jpg", "a/b.jpg"):
        make(tmp_path, name)
    for name in (COMPOSED, DECOMPOSED, "a\\b.jpg", "a/b.jpg"):
        assert find(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize(
    "name", ["..\\secret.jpg", "x\\..\\..\\secret.jpg", "\\secret.jpg", "C:\\secret.jpg", "c:..\\s"]
)
def test_back_slashes_never_lead_out_of_the_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "x").mkdir(parents=True)
    for place in (tmp_path, root):
        make(place, "secret.jpg")
    make(root, "C:/secret.jpg")
    assert find(root, name) == root / name
    assert missing(root, name).startswith(f"{root / name}: there is no such file")


@pytest.mark.parametrize("name", ["plain.jpg", "sub/plain.jpg"])
def test_a_plain_name_that_is_there_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make(tmp_path, name)
    monkeypatch.setattr("MetaCaptioner.utils.path_spelling._same_names", lambda *_: pytest.fail("looked for more"))
    assert find(tmp_path, name) == tmp_path / name


def test_file_addresses_are_read(tmp_path: Path) -> None:
    path, percent = make(tmp_path, "a b#1?.jpg"), make(tmp_path, "50%25.jpg")
    for start in ("file://", "file://localhost", "FILE://", "file:"):
        assert find(Path("/elsewhere"), f"{start}{tmp_path}/a%20b%231%3F.jpg") == path
        assert find(Path("/elsewhere"), f"{start}{tmp_path}/a b#1?.jpg") == path
    assert find(Path("/elsewhere"), f"file://{tmp_path}/50%25.jpg") == percent
    assert missing(tmp_path, "file:///none/a%20b.jpg") == "/none/a b.jpg: there is no such file"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file://server/a.jpg", "is a file of another machine, 'server': only file:///path is read"),
        ("s3://bucket/a.jpg", "is an address, not a file: download it first (s3://bucket/a.jpg)"),
        ("file://", "is an address"),
    ],
)
def test_addresses_of_what_is_elsewhere_are_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^is a") as raised:
        local_name(name)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    ("there", "named", "told"),
    [
        ("sub/a.jpg", "/sub/a.jpg", "take its leading '/' off"),
        ("a b.jpg", "a%20b.jpg", "percent-encoded"),
        ("a.JPG", "a.jpg", "upper and lower case differ"),
        ("a.jpg", "a.JPG", "upper and lower case differ"),
        ("sub/a.jpg", "Sub/A.jpg", "upper and lower case differ"),
        ("a.jpg", "a", "the row leaves '.jpg' out"),
        ("a.jpg", "root/a.jpg", "the root ends with 'root' already"),
    ],
)
def test_what_may_have_been_meant_is_told_and_not_read(tmp_path: Path, there: str, named: str, told: str) -> None:
    root = tmp_path / "root"
    path = make(root, there)
    said = missing(root, named)
    assert told in said
    assert said.endswith(f"({path} is there)")


@pytest.mark.parametrize("name", ["none.jpg", "/none.jpg", "%00", "\ud800", "a\0b", "", ".", "..", "x" * 300])
def test_where_nothing_is_near_nothing_is_told(tmp_path: Path, name: str) -> None:
    assert hint(tmp_path, name) == ""
    assert find(tmp_path, name) == tmp_path / name


def test_a_tar_is_found_as_a_file_is(tmp_path: Path) -> None:
    path = make(tmp_path, "shards/a.tar")
    assert media_source(tmp_path, "x.jpg", TarPlace("shards\\a.tar", 512, 1)).path == path
