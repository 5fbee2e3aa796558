import csv
from pathlib import Path

import pandas as pd
import pytest

from tests.data.inputs.building import Build, answer


def test_a_csv_of_paths(build: Build, tmp_path: Path) -> None:
    text = 'path,caption,id,width\n"a, b.jpg","He said ""hi"".\nTwo lines.",007,3\nclip.MP4,,x,\n"/abs/c.png",C.,,\n'
    (tmp_path / "paths.csv").write_text(text, encoding="utf-8-sig")
    built = build(tmp_path / "out" / "Metafile.json", "table", tmp_path / "paths.csv", "--allow-outside-root")
    assert built.status == 0
    assert [(row["id"], row.get("image") or row["video"], answer(row)) for row in built.rows] == [
        ("007", "a, b.jpg", 'He said "hi".\nTwo lines.'),
        ("x", "clip.MP4", None),
        (2, "/abs/c.png", "C."),
    ]
    assert built.entries["paths"]["root"] == str(tmp_path)


def test_a_parquet_of_paths_with_columns_of_other_names(build: Build, tmp_path: Path) -> None:
    columns = {"where": ["a.jpg", None, "http://x/y.jpg", "b"], "what": ["A", "B", "C", None], "number": [5, 6, 7, 8]}
    pd.DataFrame(columns).to_parquet(tmp_path / "p.parquet")
    metafile = tmp_path / "Metafile.json"
    built = build(metafile, "table", tmp_path / "p.parquet")
    assert built.status == 1
    assert "Say --media-column (has: where, what, number)" in built.said
    named = ("--media-column", "where", "--caption-column", "what", "--id-column", "number", "--root", "/usr")
    built = build(metafile, "table", tmp_path / "p.parquet", *named, "--instruction", "What is it?")
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [(5, "a.jpg", "A"), (8, "b", None)]
    assert built.rows[0]["conversations"][0]["value"] == "<image>\nWhat is it?"
    assert built.entries["p"]["root"] == "/usr"
    assert "left out: 1 rows without a path (first: 'row 1')" in built.said
    assert "left out: 1 rows whose path is none (first: \"row 2: 'where' is an address" in built.said


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.xlsx", b"", "is no table that is read here (.csv, .tsv, .parquet)"),
        ("a.parquet", b"no", "cannot be read"),
        ("a.csv", b"", "Say --media-column"),
        ("a.csv", b"path\n\xe9\xff.jpg\n", "`iconv -f CP1252 -t UTF-8 IN > OUT` makes it so"),
        ("a.tsv", b"0.jpg\tcaption 0\n1.jpg\tcaption 1\n", "its first line looks like data (0.jpg)"),
        ("a.csv", b"caption,http://x/y\n", "its first line looks like data (http://x/y)"),
        ("a.csv", b"path,path\n", "the column 'path' is there twice"),
        ("a.tsv", b"image\tanswer\n/9j/" + b"A" * 5000 + b"\tB\n", "holds pictures as base64 text, not paths"),
        ("a.csv", b'path,caption\n"[""a.jpg"", ""b.jpg""]",x\n', "left out: 1 rows that name several files"),
        ("a.tsv", b"path\tcaption\n", "no picture and no clip was found"),
        (None, b"", "cannot be read"),
    ],
)
def test_a_table_that_cannot_be_used(
    build: Build, tmp_path: Path, name: str | None, content: bytes, complaint: str
) -> None:
    if name is not None:
        (tmp_path / name).write_bytes(content)
    built = build(tmp_path / "out" / "Metafile.json", "table", tmp_path / (name or "none.csv"))
    assert built.status == 1
    assert complaint in built.said
    assert built.said.count("\n") == 1
    assert not built.entries


def test_what_stands_before_a_break_is_used(build: Build, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('path,caption\na.jpg,A\nb.jpg,"B\n')
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.csv")
    assert built.status == 1
    assert [row["image"] for row in built.rows] == ["a.jpg"]
    assert "cannot be read to its end: the row that begins in line 3: unexpected end of data" in built.said


@pytest.mark.parametrize(
    ("third", "sixth"),
    [
        ('"hello" said the sign', "caption 6"),
        ('"An unclosed quotation', 'ends with "quotes"'),
        ('"An unclosed quotation', 'a 5" nail'),
        ('"Twenty inch screen', 'screen of 20"'),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_quotation_marks_in_tsv_swallow_no_row(
    build: Build, tmp_path: Path, third: str, sixth: str, is_first: bool
) -> None:
    captions = [{3: third, 6: sixth}.get(number, f"caption {number}") for number in range(10)]
    rows = [("image", "caption"), *((f"{number}.jpg", caption) for number, caption in enumerate(captions))]
    lines = ["\t".join(reversed(row) if is_first else row) for row in rows]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n")
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.tsv")
    assert built.status == 0
    assert [(row["image"], answer(row)) for row in built.rows] == rows[1:]
    assert "note: a.tsv: quotation marks are read as plain text, as those in line 5 do not quote a field" in built.said


def test_a_tsv_that_quotes_as_csv_does_is_read_so(build: Build, tmp_path: Path) -> None:
    captions = ['He said "hi".', "Two\nlines.", "A\ttab.", "Plain."]
    table = pd.DataFrame({"image": [f"{number}.jpg" for number in range(4)], "caption": captions})
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        table.to_csv(tmp_path / f"{quoting}.tsv", sep="\t", index=False, quoting=quoting)  # type: ignore[call-overload]
        built = build(tmp_path / f"{quoting}.json", "table", tmp_path / f"{quoting}.tsv")
        assert [answer(row) for row in built.rows] == captions
        assert "note: 1 rows that go over several lines, in quotation marks (first: 'line 3')" in built.said


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("image;caption\na.jpg;café, here\n".encode(), "parted by ';'"),
        ("image\tcaption\na.jpg\tcafé, here\n".encode(), "parted by '\\t'"),
        ('Image,Caption\na.jpg,"café, here"\n'.encode("utf-16"), ""),
        ('id, image , caption\n, a.jpg, "café, here"\n'.encode(), "note: 1 ids that are missing"),
    ],
)
def test_csv_as_other_programs_write_it(build: Build, tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.csv")
    assert built.status == 0
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [(0, "a.jpg", "café, here")]
    assert told in built.said


def test_rows_of_other_lengths_are_counted(build: Build, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("image,caption\na.jpg\nb.jpg,a dog, a cat\n\n,\nc.jpg,d\ne.jpg,f,,\n")
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.csv")
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [(2, "c.jpg", "d"), (3, "e.jpg", "f")]
    assert "left out: 1 rows with fewer fields than the first line (first: 'line 2')" in built.said
    assert "left out: 1 rows with more fields than the first line (first: 'line 3')" in built.said


def test_paths_as_windows_and_lists_have_them(build: Build, tmp_path: Path) -> None:
    (tmp_path / "b\\real.jpg").touch()
    paths = ["C:\\data\\a.jpg", "images\\b.jpg", "b\\real.jpg", '["one.jpg"]', "['two.jpg', 'three.jpg']", "[1].jpg"]
    pd.DataFrame({"path": paths, "caption": [f"{number}" for number in range(6)]}).to_csv(tmp_path / "a.csv")
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.csv")
    assert [(row["image"], answer(row)) for row in built.rows] == [
        *(("images/b.jpg", "1"), ("b\\real.jpg", "2"), ("one.jpg", "3"), ("[1].jpg", "5"))
    ]
    assert "left out: 1 rows whose path is on a Windows drive" in built.said
    assert "note: 1 paths with back-slashes, which are read as slashes" in built.said
    assert "left out: 1 rows that name several files (first: 'line 6')" in built.said


def test_ids_and_captions_of_other_types(build: Build, tmp_path: Path) -> None:
    """pandas makes floats of whole numbers where one is missing, and NaN of a text that is missing."""
    columns = {
        "image": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
        "id": [7.0, None, 1.5, 9.0],
        "caption": [["one", "two"], [" "], None, ["four"]],
        "what": [{"en": "one"}, {"en": None}, {"en": "three"}, None],
    }
    pd.DataFrame(columns).to_parquet(tmp_path / "a.parquet")
    built = build(tmp_path / "a.json", "table", tmp_path / "a.parquet")
    assert [(row["id"], answer(row)) for row in built.rows] == [(7, "one"), (1, None), (1.5, None), (9, "four")]
    assert "note: 1 ids that are missing, or neither text nor number" in built.said
    assert "note: 1 rows with several captions, of which the first is kept (first: 'row 0')" in built.said
    built = build(tmp_path / "b.json", "table", tmp_path / "a.parquet", "--name", "b", "--caption-column", "what.en")
    assert [answer(row) for row in built.rows] == ["one", None, "three", None]
    built = build(tmp_path / "c.json", "table", tmp_path / "a.parquet", "--name", "c", "--caption-column", "what")
    assert "left out: 3 captions that are no text but an object of en (first: 'row 0')" in built.said


def test_a_parquet_of_pictures_is_another_format(build: Build, tmp_path: Path) -> None:
    pd.DataFrame({"image": [b"bytes"]}).to_parquet(tmp_path / "a.parquet")
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "a.parquet")
    assert (built.status, built.said.count("\n")) == (1, 1)
    assert "read it by --format huggingface" in built.said
