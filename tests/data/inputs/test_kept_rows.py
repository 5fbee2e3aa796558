import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from MetaCaptioner.data.media_source import media_source, tar_place
from MetaCaptioner.verify import main as verify
from tests.data.inputs.building import Build, Built, Row, answer
from tests.helpers import Runner, all_records, picture_rows, records


def pictures(folder: Path, names: list[str], first_colour: int = 0) -> None:
    picture_rows(folder.parent / "made", first_colour + len(names))
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, start=first_colour):
        (folder / name).write_bytes((folder.parent / "made" / f"{number}.png").read_bytes())


def names(built: Built) -> list[str | None]:
    return [row.get("image") for row in built.rows]


def test_what_is_added_is_captioned_and_nothing_else(run: Runner, build: Build, tmp_path: Path) -> None:
    """Twenty pictures more, whose names come between those of the twenty that have captions."""
    metafile, data, output = tmp_path / "Metafile.json", tmp_path / "data", tmp_path / "Output"
    pictures(data, [f"{number:02d}.png" for number in range(0, 40, 2)])
    build(metafile, "folder", data, "--task", "Natural")
    run.plan(metafile, tmp_path / "plan.jsonl")
    run.caption(tmp_path / "plan.jsonl", output)
    before = records(output)
    assert len(before) == 20

    pictures(data, [f"{number:02d}.png" for number in range(1, 40, 2)], first_colour=20)
    (data / "04.png").unlink()
    built = build(metafile, "folder", data, "--update")
    assert built.status == 0
    assert "note: rows: 19 as before; 20 new, at the end; 1 gone, which keep their place" in built.said
    assert built.entries["data"] == {
        **{"root": "data", "annotation": "data.jsonl", "length": 40, "task": "Natural", "sample_count": 40},
        "modality": "image",
    }
    run.plan(metafile, tmp_path / "plan.jsonl", "--results", output)
    run.caption(tmp_path / "plan.jsonl", output)
    after = records(output)
    assert {name: after[name] for name in before} == before
    assert len(all_records(output)) == 40
    for record in after.values():
        row = built.rows[record["index"]]
        row = row.get("was", row)
        assert (record["image"], record["id"]) == (row["image"], row["id"])
        if record["index"] != 2:
            assert record["media_hash"] == hashlib.sha256((data / row["image"]).read_bytes()).hexdigest()
    # The caption of the one that is gone is of what its row was, so nothing is mixed.
    assert run.caption(tmp_path / "plan.jsonl", output, engine_opens=False).status == 0
    told = run.main(verify, "--plan", tmp_path / "plan.jsonl", "--data-folder", output, "--check-media", 40)
    assert (told.status, "complete: 40 samples expected, 40 ok" in told.said) == (0, True)


def test_what_comes_back_has_its_old_place(run: Runner, build: Build, tmp_path: Path) -> None:
    metafile, data = tmp_path / "Metafile.json", tmp_path / "data"
    pictures(data, ["a.png", "b.png", "c.png"])
    (data / "b.txt").write_text("A caption.")
    build(metafile, "folder", data)
    content = (data / "b.png").read_bytes()
    (data / "b.png").unlink()
    for _ in range(2):
        built = build(metafile, "folder", data, "--update")
        assert names(built) == ["a.png", None, "c.png"]
        assert (built.rows[1]["id"], built.rows[1]["removed"]) == ("b.png", True)
        assert "1 gone, which keep their place" in built.said
    run.plan(metafile, tmp_path / "plan.jsonl")
    run.caption(tmp_path / "plan.jsonl", tmp_path / "Output")
    [gone] = [record for record in all_records(tmp_path / "Output") if record["index"] == 1]
    assert (gone["status"], gone["error"]["kind"]) == ("error", "no_media")

    (data / "b.png").write_bytes(content)
    built = build(metafile, "folder", data, "--update")
    assert names(built) == ["a.png", "b.png", "c.png"]
    assert (built.rows[1], answer(built.rows[1])) == (built.rows[1] | {"id": "b.png"}, "A caption.")
    assert "removed" not in built.rows[1]
    assert "note: rows: 2 as before; 1 back again" in built.said


def test_what_a_row_has_of_others_is_kept(build: Build, tmp_path: Path) -> None:
    metafile, data = tmp_path / "Metafile.json", tmp_path / "data"
    pictures(data, ["a.png", "b.png"])
    (data / "a.txt").write_text("Old.")
    build(metafile, "folder", data)
    annotation = tmp_path / "data.jsonl"
    rows = [json.loads(line) for line in annotation.read_text().splitlines()]
    mine = [rows[0] | {"task": "Medical", "mine": "\udcff"}, {"text": "no media"}, '"no object"', rows[1]]
    annotation.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in mine))
    entries = json.loads(metafile.read_text())
    entries["data"] |= {"mine": 1, "length": 4, "sample_count": 2}
    metafile.write_text(json.dumps(entries))
    (data / "a.txt").write_text("New.")
    assert build(metafile, "folder", data, "--update", "--task", "ui").status == 0
    lines = annotation.read_text().splitlines()
    assert lines[1:3] == ['{"text": "no media"}', '"no object"']
    first = json.loads(lines[0])
    assert (first["task"], first["mine"], answer(first)) == ("Medical", "\udcff", "New.")
    assert json.loads(lines[3]) == rows[1]
    entry = json.loads(metafile.read_text())["data"]
    assert (entry["mine"], entry["task"], entry["length"], entry["sample_count"]) == (1, "ui", 4, 2)


def test_a_table_with_a_path_twice_and_shards_that_are_packed_anew(build: Build, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,caption\na.png,1\nb.png,2\na.png,3\n")
    build(tmp_path / "t.json", "table", table)
    table.write_text("path,caption\nc.png,0\na.png,1\na.png,3\na.png,4\n")
    built = build(tmp_path / "t.json", "table", table, "--update")
    assert [(row.get("image"), answer(row)) for row in built.rows] == [
        *(("a.png", "1"), (None, None), ("a.png", "3"), ("c.png", "0"), ("a.png", "4"))
    ]
    picture_rows(tmp_path / "made", 3)
    pngs = {f"{number}.png": (tmp_path / "made" / f"{number}.png").read_bytes() for number in range(3)}

    def shard(*members: str) -> None:
        with tarfile.open(tmp_path / "s.tar", "w") as file:
            for name in members:
                info = tarfile.TarInfo(name)
                info.size = len(pngs[name])
                file.addfile(info, io.BytesIO(pngs[name]))

    shard("0.png", "1.png")
    build(tmp_path / "s.json", "webdataset", tmp_path / "s.tar")
    shard("2.png", "1.png", "0.png")
    built = build(tmp_path / "s.json", "webdataset", tmp_path / "s.tar", "--update")
    assert names(built) == ["0.png", "1.png", "2.png"]

    def content(row: Row) -> bytes:
        return media_source(tmp_path, row["image"], tar_place(row["tar"])).read()

    assert [content(row) for row in built.rows] == list(pngs.values())


@pytest.mark.parametrize(
    ("flags", "status", "complaint"),
    [
        (("--name", "other"), 1, "has no dataset 'other' to update; build it without --update"),
        (("--replace",), 2, "--update keeps the rows that --replace makes anew; say one of the two"),
    ],
)
def test_what_cannot_be_updated(
    build: Build, tmp_path: Path, flags: tuple[str, ...], status: int, complaint: str
) -> None:
    pictures(tmp_path / "data", ["a.png"])
    build(tmp_path / "Metafile.json", "folder", tmp_path / "data")
    before = (tmp_path / "data.jsonl").read_bytes()
    built = build(tmp_path / "Metafile.json", "folder", tmp_path / "data", "--update", *flags)
    assert (built.status, built.said.count("\n")) == (status, 1)
    assert complaint in built.said
    assert (tmp_path / "data.jsonl").read_bytes() == before


def test_an_input_that_is_not_there_as_a_whole_updates_nothing(build: Build, tmp_path: Path) -> None:
    """A disk that is not mounted, a shard that breaks off, another place."""
    metafile, shards = tmp_path / "Metafile.json", tmp_path / "shards"
    pictures(tmp_path / "data", ["a.png"])
    shards.mkdir()
    for name in ("a", "b"):
        with tarfile.open(shards / f"{name}.tar", "w") as file:
            file.add(tmp_path / "data" / "a.png", "a.png")
    build(metafile, "webdataset", shards)
    before = {path: path.read_bytes() for path in (metafile, tmp_path / "shards.jsonl")}
    (shards / "b.tar").write_bytes(b"no tar" * 1000)
    built = build(metafile, "webdataset", shards, "--update")
    assert "is left as it is, as the input cannot be read as a whole; shard " in built.said
    (shards / "b.tar").write_bytes((shards / "a.tar").read_bytes()[:0])
    (shards / "a.tar").unlink()
    assert build(metafile, "webdataset", shards, "--update").status == 1
    built = build(metafile, "folder", tmp_path / "data", "--update", "--name", "shards")
    assert "dataset 'shards' has the root shards, the input data: --update needs the same one" in built.said
    built = build(metafile, "huggingface", shards, "--update")
    assert (built.status, built.said.count("\n")) == (2, 1)
    assert "--update cannot be done to --format huggingface: build what is new under another --name" in built.said
    assert {path: path.read_bytes() for path in before} == before
