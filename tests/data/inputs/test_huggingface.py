import io
import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from MetaCaptioner.data.inputs.base import Given, Notes
from MetaCaptioner.data.inputs.huggingface_features import choose
from MetaCaptioner.data.media_source import media_source, tar_place
from MetaCaptioner.errors import UserError
from tests.data.inputs.building import Build, Built, answer
from tests.helpers import make_clip, picture_rows
from tests.pipeline.commands import run, script


@pytest.fixture
def pngs(tmp_path: Path) -> list[bytes]:
    picture_rows(tmp_path / "pictures", 3)
    return [(tmp_path / "pictures" / f"{number}.png").read_bytes() for number in range(3)]


def numbered(name: str) -> str:
    """The name of a packed file without what it tells of the content."""
    number, _, suffix = re.fullmatch(r"(\d{9})-([0-9a-f]{12})(\.\w+)", name).groups()  # type: ignore[union-attr]
    return f"{number}{suffix}"


def dataset(pngs: list[bytes], **columns: list[Any]) -> datasets.Dataset:
    """Pictures as they are mostly kept, inside the file; the last row has none."""
    images = [{"bytes": png, "path": None if number else "a.png"} for number, png in enumerate(pngs)] + [None]
    made = datasets.Dataset.from_dict({"image": images, "caption": ["zero", "one", "", "none"], **columns})
    return made.cast_column("image", datasets.Image())


@pytest.mark.parametrize("kept_as", ["disk", "parquet"])
def test_pictures_are_packed_byte_for_byte(build: Build, tmp_path: Path, pngs: list[bytes], kept_as: str) -> None:
    made = dataset(pngs, id=["a", "b", "c", "d"], other=[1.5, 2.5, 3.5, 4.5])
    place = tmp_path / "hub data"
    if kept_as == "disk":
        made.save_to_disk(place)
    else:
        (place / "data").mkdir(parents=True)
        made.to_parquet(place / "data" / "train-00000.parquet")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", place)
    assert built.status == 0, built.said
    assert [(row["id"], answer(row)) for row in built.rows] == [("a", "zero"), ("b", "one"), ("c", None)]
    root = tmp_path / "out" / built.entries["hub data"]["root"]
    assert root == tmp_path / "out" / "hub_data"
    packed = [media_source(root, row["image"], tar_place(row["tar"])).read() for row in built.rows]
    assert packed == pngs
    assert "left out: 1 rows without anything in the column 'image' (first: 'row 3')" in built.said


def test_another_picture_in_a_row_has_another_name(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """So that results of the dataset as it was are not taken for those of what is in its rows now."""
    names = []
    for number, content in enumerate((pngs, [pngs[1], pngs[0], pngs[2]])):
        place = tmp_path / f"{number}" / "hub"
        dataset(content).save_to_disk(place)
        names.append(
            [row["image"] for row in build(tmp_path / "Metafile.json", "huggingface", place, "--replace").rows]
        )
    assert [one == other for one, other in zip(*names, strict=True)] == [False, False, True]


def test_splits_and_columns_are_chosen(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    halves = datasets.DatasetDict(
        {"train": dataset(pngs), "test": dataset(pngs[:1] * 3, text=["A", "B", "C", "D"], number=[1] * 4)}
    )
    halves["train"] = halves["train"].add_column("text", ["x"] * 4).add_column("number", [1] * 4)
    halves.save_to_disk(tmp_path / "hub")
    metafile = tmp_path / "Metafile.json"
    for flags, complaint in (
        ((), "which split? Say --split (has: train, test)"),
        (("--split", "dev"), "has no split 'dev'"),
        (
            ("--split", "test", "--media-column", "number"),
            "'number' is no column of images or videos but Value('int64')",
        ),
        (("--split", "test", "--caption-column", "none"), "has no column 'none'"),
    ):
        built = build(metafile, "huggingface", tmp_path / "hub", "--name", "h", *flags)
        assert (built.status, built.said.count("\n")) == (1, 1)
        assert complaint in built.said
    flags = ("--name", "h", "--split", "test", "--caption-column", "text", "--shard-megabytes", "1")
    built = build(metafile, "huggingface", tmp_path / "hub", *flags)
    assert [(row["id"], answer(row)) for row in built.rows] == [(0, "A"), (1, "B"), (2, "C")]


def test_clips_are_packed_without_a_decoder(build: Build, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 4)
    made = datasets.Dataset.from_dict({"clip": [{"bytes": None, "path": str(clip)}, {"bytes": b"x", "path": "b.webm"}]})
    made.cast_column("clip", datasets.Video(decode=False)).save_to_disk(tmp_path / "clips")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "clips")
    assert [numbered(row["video"]) for row in built.rows] == ["000000000.mp4", "000000001.webm"]
    source = media_source(tmp_path / "out" / "clips", built.rows[0]["video"], tar_place(built.rows[0]["tar"]))
    assert source.read() == clip.read_bytes()


Features = datasets.Features
TEXT = datasets.Value("string")


def parquet(folder: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    """A folder with a Parquet file, as the library writes it, or without `features` as another program does."""
    folder.mkdir()
    if features is None:
        pq.write_table(pa.table(columns), folder / "a.parquet")
    else:
        datasets.Dataset.from_dict(columns, features=Features(features)).to_parquet(folder / "a.parquet")
    return folder


def packed(out: Path, built: Built) -> list[bytes]:
    [entry] = built.entries.values()
    root = out / entry["root"]
    return [media_source(root, row.get("image") or row["video"], tar_place(row["tar"])).read() for row in built.rows]


def test_pictures_without_the_librarys_own_types(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """As pandas, polars and img2dataset write them: a struct of bytes and path, or bytes."""
    cells = [{"bytes": png, "path": None} for png in pngs]
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    places = {
        "struct": parquet(tmp_path / "s", {"image": pa.array(cells, struct), "text": list("abc")}),
        "binary": parquet(tmp_path / "b", {"jpg": pa.array(pngs, pa.binary()), "caption": list("abc")}),
        "large": parquet(tmp_path / "l", {"data": pa.array(pngs, pa.large_binary()), "caption": list("abc")}),
        "lists": parquet(
            tmp_path / "i", {"images": pa.array([[c] for c in cells], pa.list_(struct)), "text": list("abc")}
        ),
        "file": tmp_path / "b" / "a.parquet",
    }
    for name, place in places.items():
        flags = ("--media-column", "data") if name == "large" else ()
        built = build(tmp_path / f"{name}.json", "huggingface", place, "--name", name, *flags)
        assert built.status == 0, built.said
        assert packed(tmp_path, built) == pngs
        assert [(numbered(row["image"]), answer(row)) for row in built.rows] == [
            (f"00000000{number}.png", text) for number, text in enumerate("abc")
        ]


def test_what_a_cell_holds_tells_what_it_is(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    webp = io.BytesIO()
    Image.open(io.BytesIO(pngs[0])).save(webp, "WEBP")
    cells = [{"bytes": b"a clip", "path": "x/a.mp4"}, {"bytes": webp.getvalue(), "path": None}]
    built = build(tmp_path / "out" / "M.json", "huggingface", parquet(tmp_path / "p", {"media": cells}))
    names = [numbered(row.get("video") or row["image"]) for row in built.rows]
    assert names == ["000000000.mp4", "000000001.webp"]
    assert packed(tmp_path / "out", built) == [b"a clip", webp.getvalue()]


def test_names_of_files_on_this_machine(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    place = parquet(tmp_path / "p", {"image": ["../pictures/0.png", str(tmp_path / "pictures" / "1.png"), "none.png"]})
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", place, "--allow-outside-root")
    assert packed(tmp_path / "out", built) == pngs[:2]
    assert "left out: 1 rows whose file in the column 'image' cannot be read" in built.said
    with pytest.raises(UserError, match="'image' holds names of files, which are not in the dataset: download them"):
        choose({"image": TEXT}, Given("user/name", tmp_path), is_local=False, notes=Notes())


def test_pictures_in_a_zip_file(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """The library names them by addresses within it; addresses elsewhere are not opened."""
    (tmp_path / "z").mkdir()
    with ZipFile(tmp_path / "z" / "a.zip", "w") as file:
        for number in range(3):
            file.write(tmp_path / "pictures" / f"{number}.png", f"{number}.png")
    built = build(tmp_path / "out" / "M.json", "huggingface", tmp_path / "z")
    assert packed(tmp_path / "out", built) == pngs
    cells = [
        {"bytes": None, "path": path} for path in ("http://127.0.0.1:9/a.png", "zip://a.png::http://127.0.0.1:9/z")
    ]
    place = parquet(tmp_path / "p", {"image": [*cells, {"bytes": pngs[0], "path": None}]})
    built = build(tmp_path / "out" / "2.json", "huggingface", place)
    assert packed(tmp_path / "out", built)[-1:] == pngs[:1]
    assert (
        "left out: 2 rows whose file in the column 'image' cannot be read (first: 'row 0: is an address" in built.said
    )


def test_nested_columns(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    cells = [
        {"image": {"bytes": png, "path": None}, "said": {"en": f"en {n}", "de": "de"}} for n, png in enumerate(pngs)
    ]
    features = {
        "sample": {"image": datasets.Image(), "said": {"en": TEXT, "de": TEXT}},
        "n": {"id": datasets.Value("int64")},
    }
    place = parquet(tmp_path / "p", {"sample": cells, "n": [{"id": n} for n in range(7, 10)]}, features)
    flags = ("--media-column", "sample.image", "--caption-column", "sample.said.en", "--id-column", "n.id")
    for number, given in enumerate((flags, flags[2:])):
        built = build(tmp_path / "out" / f"{number}.json", "huggingface", place, "--name", str(number), *given)
        assert packed(tmp_path / "out", built) == pngs
        assert [(row["id"], answer(row)) for row in built.rows] == [(n, f"en {n - 7}") for n in range(7, 10)]
        assert "note: columns that are not read: sample.said.de (" in built.said
    for column, complaint in (
        ("sample.none", "has no column 'sample.none'"),
        ("sample.said", "--caption-column sample.said.en"),
    ):
        built = build(tmp_path / "out" / "x.json", "huggingface", place, "--caption-column", column)
        assert (built.status, built.said.count("\n")) == (1, 1)
        assert complaint in built.said


def test_lists_of_pictures_and_of_captions(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    """A caption of several pictures is of none of them; of several captions the first is taken. All are counted."""
    one, *more = ({"bytes": png, "path": None} for png in pngs)
    columns = {"images": [[one], more, []], "caption": [["a", "b"], ["c"], ["d"]], "id": ["x", "y", "z"]}
    features = {"images": datasets.List(datasets.Image()), "caption": datasets.List(TEXT), "id": TEXT}
    built = build(tmp_path / "out" / "M.json", "huggingface", parquet(tmp_path / "p", columns, features))
    assert packed(tmp_path / "out", built) == pngs
    assert [(row["id"], answer(row)) for row in built.rows] == [("x", "a"), ("y-0", None), ("y-1", None)]
    for line in (
        "note: 1 rows with several captions, of which the first is kept (first: 'row 0')",
        "note: 1 rows with several pictures or clips in a column, each a row of its own (first: 'row 1')",
        "left out: 1 captions of several pictures or clips together, which no single one is given (first: 'row 1')",
        "left out: 1 rows without anything in the column 'images' (first: 'row 2')",
    ):
        assert line in built.said


def test_a_mask_is_not_taken_for_a_picture(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    cells = [{"bytes": png, "path": None} for png in pngs]
    kinds = {"annotation": datasets.Image(), "image": datasets.Image(), "caption": TEXT}
    place = parquet(tmp_path / "p", {"image": cells, "annotation": cells[::-1], "caption": list("abc")}, kinds)
    built = build(tmp_path / "out" / "M.json", "huggingface", place)
    assert packed(tmp_path / "out", built) == pngs
    assert "note: columns that are not read: annotation (" in built.said
    built = build(
        tmp_path / "out" / "2.json", "huggingface", place, "--name", "2", "--media-column", "image,annotation"
    )
    assert packed(tmp_path / "out", built) == [pngs[0], pngs[2], pngs[1], pngs[1], pngs[2], pngs[0]]
    assert [answer(row) for row in built.rows] == ["a", None, "b", None, "c", None]
    assert "left out: 3 captions for 'annotation', as they are taken for the first column's" in built.said
    other = {"left": cells, "right": cells}
    place = parquet(tmp_path / "q", other, {"left": datasets.Image(), "right": datasets.Image()})
    built = build(tmp_path / "out" / "3.json", "huggingface", place)
    assert built.status == 1
    assert "which column is to be captioned? Say --media-column (has: left, right; or several: a,b)" in built.said


def test_captions_that_are_no_texts(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    cells = [{"bytes": png, "path": None} for png in pngs]
    kinds = {"image": datasets.Image(), "caption": {"en": TEXT}, "label": datasets.ClassLabel(names=["cat", "dog"])}
    columns = {"image": cells, "caption": [{"en": "e"}] * 3, "label": [1, 0, 1]}
    place = parquet(tmp_path / "p", columns, kinds)
    built = build(tmp_path / "out" / "M.json", "huggingface", place)
    assert [answer(row) for row in built.rows] == [None] * 3
    assert "note: the column 'caption' is no text but an object: say --caption-column caption.en" in built.said
    built = build(tmp_path / "out" / "2.json", "huggingface", place, "--name", "2", "--caption-column", "label")
    assert [answer(row) for row in built.rows] == ["dog", "cat", "dog"]


def test_float_ids_and_arrays_and_nothing(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    cells = [{"bytes": pngs[0], "path": None}] * 3
    columns = {"image": cells, "id": [1.5, 2.0, None]}
    place = parquet(tmp_path / "p", columns, {"image": datasets.Image(), "id": datasets.Value("float64")})
    built = build(tmp_path / "out" / "M.json", "huggingface", place)
    assert [row["id"] for row in built.rows] == [1.5, 2, 2]
    assert "note: 1 ids that are missing, or neither text nor number" in built.said
    array = parquet(tmp_path / "a", {"image": [[[0, 1], [2, 3]]]}, {"image": datasets.Array2D((2, 2), "uint8")})
    built = build(tmp_path / "out" / "a.json", "huggingface", array)
    assert "has no column of images or videos (image: Array2D" in built.said
    assert "arrays of numbers are not read: write PNG bytes" in built.said
    empty = parquet(tmp_path / "e", {"image": [None, {"bytes": b"", "path": "a.jpg"}]}, {"image": datasets.Image()})
    for _ in range(2):  # nothing is left behind that would be in the way
        built = build(tmp_path / "out" / "e.json", "huggingface", empty, "--name", "e-packed")
        assert "no picture and no clip was found; left out: 2 rows without anything in the column 'image'" in built.said


def test_folders_as_the_library_would_misread_them(
    build: Build, tmp_path: Path, pngs: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names of kinds of files, tables whose columns it does not know beforehand, tars, flags that do nothing."""
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("json", '{"image": "../pictures/0.png", "text": "a"}\n'),
        ("csv", "image,text\n../pictures/0.png,a\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"a.{name}").write_text(text)
        built = build(tmp_path / "out" / f"{name}.json", "huggingface", name, "--allow-outside-root")
        assert packed(tmp_path / "out", built) == pngs[:1], built.said
        assert answer(built.rows[0]) == "a"
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "a.tar").touch()
    dataset(pngs).save_to_disk(tmp_path / "disk")
    for flags, complaint in (
        (("tars",), "holds tar shards (a.tar): --format webdataset reads them"),
        (("disk", "--subset", "x"), "lies on disk as one; it has no --subset"),
    ):
        built = build(tmp_path / "out" / "M.json", "huggingface", *flags)
        assert (built.status, built.said.count("\n")) == (1, 1)
        assert complaint in built.said


def test_a_folder_that_is_not_its_own_is_never_replaced(build: Build, tmp_path: Path, pngs: list[bytes]) -> None:
    dataset(pngs).save_to_disk(tmp_path / "hub")
    mine = tmp_path / "out" / "hub" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("keep")
    built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "hub", "--replace")
    assert built.status == 1
    assert "something else is there already" in built.said
    assert mine.read_text() == "keep"
    mine.unlink()
    for flags in ((), ("--replace",)):
        built = build(tmp_path / "out" / "Metafile.json", "huggingface", tmp_path / "hub", *flags)
        assert (built.status, len(built.rows)) == (0, 3)
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {".Metafile.json.lock", "Metafile.json", "hub", "hub.jsonl"}


def test_a_name_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    given = ("--format", "huggingface", "--input", "nobody/none-such", "--metafile", tmp_path / "Metafile.json")
    done = run(script("build_metafile", *given), {"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "error: dataset nobody/none-such: Couldn't reach 'nobody/none-such' on the Hub" in done.stdout
