import bz2
import errno
import gzip
import json
import lzma
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from MetaCaptioner.data import annotation, annotation_blocks
from MetaCaptioner.data.annotation import AnnotationFile
from MetaCaptioner.data.annotation_blocks import BrokenAnnotation
from MetaCaptioner.errors import StoppedEarly
from MetaCaptioner.utils import locks
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
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", chunk)
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


def random_rows(seed: int, count: int) -> list[object]:
    """Rows of a few keys, with lists of objects that begin with the same key, and texts that look like row ends."""
    chance = random.Random(seed)
    tricky = ['}, {"id": 3', '"}]', '\\"}, {"id', "}", "日本", "\ud800", "plain words", ""]

    def value(depth: int) -> object:
        kind = chance.randrange(7 if depth < 3 else 4)
        if kind < 3:
            return chance.choice(tricky)
        if kind == 3:
            return chance.choice([0, -1.5, None, True, float("inf"), 10**30])
        return [{"id": value(depth + 1), "x": 1} for _ in range(chance.randrange(4))]

    return [{"id": n, "image": chance.choice(tricky), "more": value(0)} for n in range(count)]


@pytest.mark.parametrize("block", [1, 33, 200, 1000, 2**16])
@pytest.mark.parametrize("layout", ["lines", "one line", "indent", "jsonl", "tight"])
def test_random_rows_come_back_from_any_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, layout: str
) -> None:
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", block)
    for seed in range(6):
        made, path = random_rows(seed, 60), tmp_path / "a.json"
        texts = [json.dumps(row, ensure_ascii=seed % 2 == 0, indent=1 if layout == "indent" else None) for row in made]
        separator = {"lines": ",\n", "one line": ", ", "indent": ",\n\n ", "jsonl": "\n", "tight": ","}[layout]
        whole = separator.join(texts) if layout == "jsonl" else f"[{separator.join(texts)} ]\n"
        path.write_bytes(whole.encode("utf-8", "surrogatepass"))
        file = AnnotationFile(path)
        assert [row for _, row in file.rows(0, len(file))] == made
        assert [file.row(index) for index in (59, 0, 31, 30)] == [made[index] for index in (59, 0, 31, 30)]
        assert list(file.rows(17, 23)) == list(zip(range(17, 23), made[17:23], strict=True))


def test_rows_beyond_the_end_are_not_there(tmp_path: Path) -> None:
    file = AnnotationFile(write_annotation(tmp_path / "a.json", HARD_ROWS))
    assert list(file.rows(len(HARD_ROWS) - 1, 99)) == [(len(HARD_ROWS) - 1, HARD_ROWS[-1])]
    for index in (len(HARD_ROWS), -1):
        with pytest.raises(IndexError):
            file.row(index)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_file_that_changes_while_it_is_worked_on_is_noticed(tmp_path: Path, name: str) -> None:
    path = write_annotation(tmp_path / name, [{"id": n} for n in range(9)])
    file = AnnotationFile(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(BrokenAnnotation, match="has changed while it was worked on"):
        file.row(0)


@pytest.mark.parametrize(("broken", "row"), [(b'{"id": 4321, "x": nul}', 4321), (b'{"id": 4321', 4321)])
def test_a_list_that_is_broken_in_the_middle_names_the_row(tmp_path: Path, broken: bytes, row: int) -> None:
    texts = [json.dumps({"id": n, "x": [{"id": 1}, {"id": 2}]}).encode() for n in range(6000)]
    texts[4321] = broken
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b",\n".join(texts) + b"]")
    with pytest.raises(BrokenAnnotation, match=f"row {row} is broken at byte "):
        AnnotationFile(path)


def test_a_list_with_a_row_nested_too_deep_names_the_row(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"id": 0}, {"id": 1}, ' + "[" * 200_000 + "]" * 200_000 + "]")
    with pytest.raises(BrokenAnnotation, match="row 2 is nested too deep"):
        AnnotationFile(path)


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_row_without_end_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(annotation_blocks, "_LONGEST_ROW_BYTES", 1024)
    path = tmp_path / name
    path.write_text(("[" if name == "a.json" else "") + '{"id": 0, "text": "' + "x" * 9000 + '"}\n')
    with pytest.raises(BrokenAnnotation, match=r"row 0 is broken at byte|the line at byte 0 of 9\d+ does not end"):
        AnnotationFile(path)


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
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", chunk)
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
    assert (tmp_path / f".{name}.blocks.npy").exists()
    assert not always_indexed.exists()
    monkeypatch.setattr(AnnotationFile, "_scan", lambda self: pytest.fail("scanned again"))
    assert rows(path) == HARD_ROWS


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_slice_is_read_without_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path, name: str
) -> None:
    made = [{"id": n, "text": "words " * 20} for n in range(20_000)]
    path = write_annotation(tmp_path / name, made)
    AnnotationFile(path).close()
    assert (tmp_path / f".{name}.blocks.npy").stat().st_size < path.stat().st_size / 500
    read, lengths = os.pread, []

    def counted(descriptor: int, count: int, offset: int) -> bytes:
        lengths.append(count)
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", counted)
    file = AnnotationFile(path)
    assert list(file.rows(11_000, 11_500)) == [(n, made[n]) for n in range(11_000, 11_500)]
    assert sum(lengths) < path.stat().st_size / 10


@pytest.mark.parametrize("separator", [", ", ",\n", ","])
def test_a_large_list_is_cut_without_walking_over_each_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    walked, walk = [], annotation_blocks._walk

    def counted(data: bytes, is_last: bool) -> object:
        walked.append(len(data))
        return walk(data, is_last)

    monkeypatch.setattr(annotation_blocks, "_walk", counted)
    made = [{"id": n, "x": [{"from": "a", "id": 1}, {"from": "b", "id": 2}]} for n in range(20_000)]
    path = tmp_path / "a.json"
    path.write_text(f"[{separator.join(map(json.dumps, made))}]")
    assert rows(path) == made
    assert sum(walked) < path.stat().st_size / 10


def test_of_many_that_need_an_index_at_once_one_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, scans, found = write_annotation(tmp_path / "a.json", HARD_ROWS), [], []
    scan = AnnotationFile._scan

    def slow_scan(self: AnnotationFile) -> object:
        scans.append(1)
        time.sleep(0.3)
        return scan(self)

    monkeypatch.setattr(AnnotationFile, "_scan", slow_scan)
    threads = [threading.Thread(target=lambda: found.append(rows(path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [HARD_ROWS] * 6
    assert len(scans) == 1
    assert f"waiting for another process that makes an index of {path}" in capsys.readouterr().err
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.json", ".a.json.blocks.npy", ".a.json.blocks.npy.lock"}


def test_a_rank_that_is_stopped_while_it_makes_an_index_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    def stopped(self: AnnotationFile) -> None:
        raise StoppedEarly("stopped by SIGTERM")

    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(AnnotationFile, "_scan", stopped)
        with pytest.raises(StoppedEarly):
            AnnotationFile(path)
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.json", ".a.json.blocks.npy.lock"}
    assert rows(path) == HARD_ROWS


def test_on_a_file_system_without_locks_each_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(locks, "_ask", no_locks)
    assert rows(write_annotation(tmp_path / "a.json", HARD_ROWS)) == HARD_ROWS
    assert (tmp_path / ".a.json.blocks.npy").exists()


def test_the_index_is_renewed_when_the_file_changes(tmp_path: Path, always_indexed: Path) -> None:
    path = write_annotation(tmp_path / "a.json", [{"id": 1}, {"id": 2}])
    assert rows(path) == [{"id": 1}, {"id": 2}]
    write_annotation(path, [{"id": 100}, {"id": 2}, {"id": 3}])
    assert rows(path) == [{"id": 100}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"random bytes, no index at all"])
def test_a_damaged_index_is_made_again(tmp_path: Path, always_indexed: Path, damage: bytes) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    rows(path)
    (tmp_path / ".a.json.blocks.npy").write_bytes(damage)
    assert rows(path) == HARD_ROWS


def test_an_index_cut_short_is_made_again(tmp_path: Path, always_indexed: Path) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    rows(path)
    index = tmp_path / ".a.json.blocks.npy"
    index.write_bytes(index.read_bytes()[:-8])
    assert rows(path) == HARD_ROWS
    assert np.load(index)[-1, 0] == len(HARD_ROWS)


def test_in_a_read_only_folder_the_index_goes_to_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    (tmp_path / "data").mkdir()
    path = write_annotation(tmp_path / "data" / "a.json", HARD_ROWS)
    make_read_only(monkeypatch, tmp_path / "data")
    assert rows(path) == HARD_ROWS
    assert len(list(always_indexed.glob("*.blocks.npy"))) == 1
    monkeypatch.setattr(AnnotationFile, "_scan", lambda self: pytest.fail("scanned again"))
    assert rows(path) == HARD_ROWS


def test_where_nothing_can_be_written_the_file_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always_indexed: Path
) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    make_read_only(monkeypatch, tmp_path)
    assert rows(path) == HARD_ROWS


def refused(path: Path) -> str:
    with pytest.raises(BrokenAnnotation) as raised:
        AnnotationFile(path)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"annotation file {path}: ")
    return str(raised.value)


@pytest.mark.parametrize("block", [1, 64, 2**16])
@pytest.mark.parametrize(
    ("behind", "told"),
    [
        (b'[{"id": 2}]', "are there several lists, one after the other?"),
        (b'\n[{"id": 2}]\n', "are there several lists"),
        (b'\n\xef\xbb\xbf[{"id": 2}]\n', "are there several lists"),
        (b"[]", "are there several lists"),
        (b'\n{"id": 2}\n', "a list or JSONL, not both"),
        (b"\n" + b"\0" * 500, "NUL bytes"),
        (b", ", "it reads b', '"),
        (b"]", "it reads b']'"),
        (b" " * 5000 + b"x", "it reads b'x'"),
    ],
)
def test_what_follows_a_list_is_never_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, behind: bytes, told: str
) -> None:
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", block)
    path, whole = tmp_path / "a.json", b'[{"id": 0},\n {"id": 1}]'
    path.write_bytes(whole + behind)
    said = refused(path)
    place = len(whole) + len(behind) - len(behind.lstrip(b" \n"))
    assert f"behind the end of its list of 2 rows, at byte {place} of {len(whole + behind)} (" in said
    assert told in said


def test_lists_on_the_lines_of_jsonl_are_refused_at_the_second(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('[{"id": 0}]\n[{"id": 1}]\n')
    assert "at byte 12 of 24 (are there several lists" in refused(path)


def test_white_space_around_a_list_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b" " * 9000 + b'[{"id": 0}]' + b" \r\n\t" * 40_000)
    assert rows(path) == [{"id": 0}]


@pytest.mark.parametrize("content", [b"[", b'[{"id": 0},', b"[,"])
def test_a_list_of_which_only_the_beginning_is_there(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert f"is broken at byte {len(content)} of {len(content)}" in refused(path)


def test_lists_and_marks_within_jsonl_are_lines_like_others(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": 0}\n[{"id": 1}]\n\xef\xbb\xbf{"id": 2}\n\0\0\n{"id": 4}{"id": 5}\n')
    assert rows(path) == [{"id": 0}, [{"id": 1}], {"id": 2}, "\0\0", '{"id": 4}{"id": 5}']


def test_an_index_of_an_earlier_version_does_not_hide_what_follows_the_list(
    tmp_path: Path, always_indexed: Path
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"id": 0},{"id": 1}]' * 2)
    status = path.stat()
    kept = np.array([(2, 2), (status.st_size, status.st_mtime_ns), (0, 1), (2, 20)], dtype=np.int64)
    np.save(tmp_path / ".a.json.blocks.npy", kept)
    assert "are there several lists" in refused(path)


def test_an_index_of_another_content_of_the_same_size_and_time_is_not_believed(
    tmp_path: Path, always_indexed: Path
) -> None:
    path = write_annotation(tmp_path / "a.json", [{"id": 1111}, {"id": 2}])
    before = path.stat()
    rows(path)
    path.write_bytes(path.read_bytes().replace(b'{"id": 1111}', b'{"i":1},{}  '))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert rows(path) == [{"i": 1}, {}, {"id": 2}]


FORGED = {
    "rows that shrink": [(0, 1), (5, 10), (4, 20)],
    "bytes that shrink": [(0, 1), (1, 40), (2, 20)],
    "a block without rows": [(0, 1), (0, 10), (2, 20)],
    "beyond the end": [(0, 1), (2, 10**15)],
    "before the beginning": [(0, -5), (2, 20)],
    "rows that are left out": [(1, 1), (2, 20)],
}


@pytest.mark.parametrize("blocks", FORGED.values(), ids=FORGED)
def test_an_index_that_makes_no_sense_is_not_believed(
    tmp_path: Path, always_indexed: Path, blocks: list[tuple[int, int]]
) -> None:
    path = write_annotation(tmp_path / "a.json", HARD_ROWS)
    file = AnnotationFile(path)
    of_file = annotation._BelongsTo(path.stat().st_size, path.stat().st_mtime_ns, file._content_mark())
    made = np.array(blocks, dtype=np.int64)
    np.save(tmp_path / ".a.json.blocks.npy", np.vstack([of_file.head(made), made]))
    assert rows(path) == HARD_ROWS


def test_a_file_that_is_no_index_costs_nothing(tmp_path: Path, always_indexed: Path) -> None:
    path, index = write_annotation(tmp_path / "a.json", HARD_ROWS), tmp_path / ".a.json.blocks.npy"
    np.savez(tmp_path / "packed.npz", blocks=np.zeros((4, 2), dtype=np.int64))
    header = {"descr": "<i8", "fortran_order": False, "shape": (10**12, 2)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    np.save(tmp_path / "pickled.npy", np.array([[{}, {}]] * 5, dtype=object), allow_pickle=True)
    np.save(tmp_path / "floats.npy", np.zeros((5, 2)))
    for name in ("packed.npz", "huge.npy", "pickled.npy", "floats.npy"):
        index.write_bytes((tmp_path / name).read_bytes())
        assert rows(path) == HARD_ROWS
        assert annotation._load_index(index, annotation._BelongsTo(0, 0, 0)) is None
    index.unlink()
    os.mkfifo(index)
    assert rows(path) == HARD_ROWS


def test_an_index_that_counts_wrong_is_found_out_where_it_is_used(tmp_path: Path, always_indexed: Path) -> None:
    path = write_annotation(tmp_path / "a.json", [{"id": 1}, {"id": 2}])
    file = AnnotationFile(path)
    of_file = annotation._BelongsTo(path.stat().st_size, path.stat().st_mtime_ns, file._content_mark())
    made = np.array([(0, 1), (3, int(file._blocks[-1, 1]))], dtype=np.int64)
    np.save(tmp_path / ".a.json.blocks.npy", np.vstack([of_file.head(made), made]))
    with pytest.raises(BrokenAnnotation, match="has changed while it was worked on"):
        rows(path)


PARQUET = b"PAR1\x15\x04\x15\x0c" + b"\0" * 40
GZIP = gzip.compress(b"[]", mtime=0)  # the same in every process that collects tests
COCO = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"id": 3, "image_id": 1}], "categories": []}
COCO_TOLD = "is one COCO object, not a list of rows; make a row of each of its pictures: metacaptioner build"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json.gz", GZIP, "is compressed with gzip, not JSON text; unpack it: gzip -dk "),
        ("a.json", GZIP, "gzip"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd\x20\x05", "is compressed with Zstandard, not JSON text; unpack it: zstd"),
        ("a.json.bz2", bz2.compress(b"[]"), "bzip2 -dk"),
        ("a.json.xz", lzma.compress(b"[]"), "xz -dk"),
        ("a.zip", b"PK\x03\x04\x14\0", "unzip"),
        ("a.parquet", PARQUET, "is a Parquet table, not JSON text; make rows of it: metacaptioner build"),
        ("a.arrow", b"ARROW1\0\0", "--format huggingface"),
        ("a.pkl", b"\x80\x04\x95", "pickle"),
        ("a.tar", b"a.jpg" + b"\0" * 252 + b"ustar\0", "--format webdataset"),
        ("a.csv", b"image,caption\na.jpg,a dog\n", "is a table (CSV or TSV), not JSON text; make rows of it: metacaptioner build "),  # noqa: E501
        ("a.csv", b"image\na.jpg\n", "is a table"),
        ("a.txt", b"image\tcaption\na.jpg\ta dog\n", "is a table"),
        ("a.csv", b'"image","caption"\n"a.jpg","x"\n', "is a table"),
        ("a.json", '[{"id": 0}]'.encode("utf-16"), "is UTF-16, and must be UTF-8; write it anew: iconv -f UTF-16 "),
        ("a.json", '[{"id": 0}]'.encode("utf-16-le"), "iconv -f UTF-16LE -t UTF-8"),
        ("a.jsonl", '{"id": 0}\n'.encode("utf-16-be"), "iconv -f UTF-16BE -t UTF-8"),
        ("a.json", '[{"id": 0}]'.encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
        ("a.json", b"<!DOCTYPE html><html>", "is a web page or XML, not JSON text"),
        ("a.json", b"\x93NUMPY\x01\0", "is no JSON text: it begins with the bytes 93 4e 55"),
        ("a.json", json.dumps(COCO).encode(), COCO_TOLD),
        ("a.json", json.dumps(COCO, indent=1).encode(), COCO_TOLD),
        ("a.json", json.dumps({"info": {"year": 2014}, **COCO, "more": "x" * 9000}).encode() + b"\n", COCO_TOLD),
        ("a.json", b'{"data": [{"id": 0, "image": "a.jpg"}]}', "are its rows under 'data'? jq '.\"data\"' "),
        ("a.json", b'{\n"data": [{"id": 0, "image": "a.jpg"}]}', "is one JSON object; it must be a list of rows"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_named_with_the_command_that_helps(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert told in refused(path)


def test_a_first_line_of_words_does_not_make_a_table_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('# made by hand, with care\n{"id": 1}\n')
    assert rows(path) == ["# made by hand, with care", {"id": 1}]


def test_one_object_larger_than_any_row_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotation_blocks, "_LONGEST_ROW_BYTES", 1024)
    monkeypatch.setattr(annotation_blocks, "_BLOCK_BYTES", 64)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({**COCO, "more": "x" * 9000}))
    assert COCO_TOLD in refused(path)


@pytest.mark.parametrize(
    "row",
    [
        {"images": ["a.jpg"], "annotations": "none"},
        {"info": {"year": 2020}, "image": "a.jpg", "conversations": "x" * 9000},
        {"images": [{"path": "a.jpg"}], "text": "x" * 9000},
        {"image": "a.jpg", "more": [{"image": "b.jpg"}]},
        {"a, b\t": 1},
        "words, and more",
        {},
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_rows_that_look_a_little_like_another_kind_are_rows(tmp_path: Path, row: object, count: int) -> None:
    assert rows(write_annotation(tmp_path / "a.jsonl", [row] * count)) == [row] * count
