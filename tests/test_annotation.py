import json
from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner import annotation
from MetaCaptioner.annotation import AnnotationFile, BrokenAnnotation
from tests.helpers import make_read_only, write_annotation

HARD_ROWS: list[object] = [
    {"id": 0, "image": "a.jpg", "conversations": [{"from": "human", "value": '<image>\n "]}, {["'}]},
    {"id": 1, "deep": {"a": [{"b": [[], {}, "}"]}]}, "text": '\\"\\\\'},
    {"id": 2, "text": "日本語 \u0085 \u2028 ümlaut 🙂"},
    {},
    [1, [2]],
    "a ] string",
    -125,
    None,
    True,
    1234567890,
]


def rows(path: Path) -> list[object]:
    file = AnnotationFile(path)
    found = [row for _, row in file.rows(0, len(file))]
    file.close()
    return found


@pytest.fixture
def always_indexed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Every file is large enough for an index; the user's cache is in the returned folder."""
    monkeypatch.setattr(annotation, "INDEXED_FROM_BYTES", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "metacaptioner"


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
@pytest.mark.parametrize("chunk", [1, 2, 7, 64, 4096])
def test_rows_come_back_whatever_the_chunk_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk: int
) -> None:
    monkeypatch.setattr(annotation, "_CHUNK_BYTES", chunk)
    assert rows(write_annotation(tmp_path / name, HARD_ROWS)) == HARD_ROWS


@pytest.mark.parametrize("indent", [None, 2])
def test_a_pretty_printed_list_is_read(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(HARD_ROWS, indent=indent))
    assert rows(path) == HARD_ROWS


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, name: str) -> None:
    path = write_annotation(tmp_path / name, HARD_ROWS)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert rows(path) == HARD_ROWS


def test_jsonl_with_blank_lines_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 0}\r\n\r\n  \n{"id": 1}\r\n{"id": 2}')
    assert rows(path) == [{"id": 0}, {"id": 1}, {"id": 2}]


def test_a_bad_line_of_jsonl_comes_as_its_text_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 0}\n{"id": 1, \n{"id": "\xff"}\n{"id": 3}\n')
    found = rows(path)
    assert found[0] == {"id": 0}
    assert found[1] == '{"id": 1, '
    assert isinstance(found[2], str)
    assert found[3] == {"id": 3}


def test_a_row_nested_too_deep_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 0}\n' + "[" * 200_000 + '\n{"id": 2}\n')
    found = rows(path)
    assert isinstance(found[1], str)
    assert (found[0], found[2]) == ({"id": 0}, {"id": 2})


def test_any_row_can_be_read_alone(tmp_path: Path) -> None:
    file = AnnotationFile(write_annotation(tmp_path / "a.json", [{"id": n} for n in range(1000)]))
    assert file.row(998) == {"id": 998}
    assert list(file.rows(3, 5)) == [(3, {"id": 3}), (4, {"id": 4})]


@pytest.mark.parametrize("content", [b"[]", b" [ ]\n", b"\n\n"])
def test_a_file_without_rows_is_no_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert rows(tmp_path / "a.json") == []


@pytest.mark.parametrize("chunk", [8, 4096])
@pytest.mark.parametrize("cut", [3, 14, 21, 24])
def test_a_list_that_breaks_off_names_file_row_and_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, cut: int
) -> None:
    monkeypatch.setattr(annotation, "_CHUNK_BYTES", chunk)
    path = tmp_path / "a.json"
    whole = b'[{"id": 10},\n{"id": 11}]'
    path.write_bytes(whole[:-1] if cut == 24 else whole[:cut])
    with pytest.raises(BrokenAnnotation) as raised:
        AnnotationFile(path)
    row = {3: 0, 14: 1, 21: 1, 24: 2}[cut]
    assert str(raised.value).startswith(f"annotation file {path}: row {row} is broken at byte ")
    assert "was the file cut off?" in str(raised.value)


def test_missing_and_empty_files_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BrokenAnnotation, match=r"none\.json: cannot be read: No such file"):
        AnnotationFile(tmp_path / "none.json")
    (tmp_path / "empty.json").touch()
    with pytest.raises(BrokenAnnotation, match=r"empty\.json: is empty"):
        AnnotationFile(tmp_path / "empty.json")
    with pytest.raises(BrokenAnnotation, match="Is a directory"):
        AnnotationFile(tmp_path)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_large_file_is_scanned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path, name: str
) -> None:
    path = write_annotation(tmp_path / name, HARD_ROWS)
    assert rows(path) == HARD_ROWS
    assert (tmp_path / f".{name}.index.npy").exists()
    assert not always_indexed.exists()
    monkeypatch.setattr(AnnotationFile, "_scan", lambda self: pytest.fail("scanned again"))
    assert rows(path) == HARD_ROWS


def test_the_index_is_renewed_when_the_file_changes(tmp_path: Path, always_indexed: Path) -> None:
    path = write_annotation(tmp_path / "a.json", [{"id": 1}, {"id": 2}])
    assert rows(path) == [{"id": 1}, {"id": 2}]
    write_annotation(path, [{"id": 100}, {"id": 2}, {"id": 3}])
    assert rows(path) == [{"id": 100}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"random bytes, no index at all"])
def test_a_damaged_index_is_made_again(tmp_path: Path, always_indexed: Path, damage: bytes) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    rows(path)
    (tmp_path / ".a.json.index.npy").write_bytes(damage)
    assert rows(path) == HARD_ROWS


def test_an_index_cut_short_is_made_again(tmp_path: Path, always_indexed: Path) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    rows(path)
    index = tmp_path / ".a.json.index.npy"
    index.write_bytes(index.read_bytes()[:-8])
    assert rows(path) == HARD_ROWS
    assert np.load(index).shape == (len(HARD_ROWS) + 1, 2)


def test_in_a_read_only_folder_the_index_goes_to_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    (tmp_path / "data").mkdir()
    path = write_annotation(tmp_path / "data" / "a.json", HARD_ROWS)
    make_read_only(monkeypatch, tmp_path / "data")
    assert rows(path) == HARD_ROWS
    assert len(list(always_indexed.glob("*.index.npy"))) == 1
    monkeypatch.setattr(AnnotationFile, "_scan", lambda self: pytest.fail("scanned again"))
    assert rows(path) == HARD_ROWS


def test_where_nothing_can_be_written_the_file_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    make_read_only(monkeypatch, tmp_path)
    assert rows(path) == HARD_ROWS
