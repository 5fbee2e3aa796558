from pathlib import Path

import pandas as pd
import pytest

from tests.dataprocess.inputs.building import Build, answer


def test_a_csv_of_paths(build: Build, tmp_path: Path) -> None:
    text = 'path,caption,id,width\n"a, b.jpg","He said ""hi"".\nTwo lines.",007,3\nclip.MP4,,x,\n"/abs/c.png",C.,,\n'
    (tmp_path / "paths.csv").write_text(text, encoding="utf-8-sig")
    built = build(tmp_path / "out" / "Metafile.json", "table", tmp_path / "paths.csv")
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
    named = ("--media-column", "where", "--caption-column", "what", "--id-column", "number", "--root", "/data")
    built = build(metafile, "table", tmp_path / "p.parquet", *named, "--instruction", "What is it?")
    assert [(row["id"], row["image"], answer(row)) for row in built.rows] == [(5, "a.jpg", "A"), (8, "b", None)]
    assert built.rows[0]["conversations"][0]["value"] == "<image>\nWhat is it?"
    assert built.entries["p"]["root"] == "/data"
    assert "left out: 1 rows without a path (first: 'row 1')" in built.said
    assert "left out: 1 rows whose path is none (first: \"row 2: 'where' is an address" in built.said


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.xlsx", b"", "is no table that is read here (.csv, .tsv, .parquet)"),
        ("a.parquet", b"no", "cannot be read"),
        ("a.csv", b"", "Say --media-column"),
        ("a.csv", b"path\n\xff\xff.jpg\n", "cannot be read"),
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
    assert "cannot be read behind row 0" in built.said
