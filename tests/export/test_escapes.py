"""Names from a dataset that lead elsewhere as paths: every format writes below its output and nowhere else."""

import json
import tarfile
from pathlib import Path

import pytest

from MetaCaptioner.export.command import main as export
from tests.helpers import Runner, pack, picture_rows, write_lines
from tests.made_records import caption_record

NAMES = (
    *(
        "../../../escaped",
        "/tmp/escaped",
        "..",
        ".",
        "a/../../b",
        "a/b",
        "a_b",
        "A/b",
        "~",
        "-rf",
        "nul",
        "C:\\x",
        "x\0y",
    ),
    *("new\nline", "name\u202egnp.", "n" * 300, "Metafile", "export.json", ".hidden", " ", "\x1b[2J"),
)
FORMATS = ("conversations", "jsonl", "txt", "webdataset", "huggingface", "parquet")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Deep in a folder of its own: two captions of each dataset, of which one is of a tar member."""
    deep = tmp_path / "a" / "b" / "c"
    rows = picture_rows(deep / "media", 1)
    place = pack(deep / "media" / "a.tar", deep / "media" / rows[0]["image"])["0.png"]
    root = {"root": str(deep / "media")}
    records = [caption_record(0, name=name, **root) for name in NAMES]
    records += [{**caption_record(1, name=name, **root), "image": "0.png", "tar": place} for name in NAMES]
    write_lines(deep / "Caption" / "Rank0_node0_x.jsonl", records)
    return deep / "Caption"


def everything(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.mark.parametrize("kind", FORMATS)
def test_names_of_datasets(tmp_path: Path, results: Path, run: Runner, kind: str) -> None:
    before, out = everything(tmp_path), results.with_name("out")
    told = run.main(export, "--data-folder", results, "--all", "--format", kind, "--output", out)
    assert told.status == 0, told.said
    assert f"{2 * len(NAMES)} captions written" in told.said
    made = everything(tmp_path) - before
    assert made
    assert all(path.is_relative_to(out.relative_to(tmp_path)) for path in made)
    if kind == "txt":
        assert sum(path.suffix == ".txt" for path in made) == 2 * len(NAMES)
    if kind == "jsonl":
        entries = json.loads((out / "Metafile.json").read_text())
        assert set(entries) == set(NAMES)
        assert len({entry["annotation"] for entry in entries.values()}) == len(NAMES)
    if kind == "webdataset":
        with tarfile.open(out / "shard-000000.tar") as file:
            members = file.getnames()
        assert not any("/" in name or name.startswith((".", "-")) for name in members)
        assert len(set(members)) == 6 * len(NAMES)


def test_names_of_media(tmp_path: Path, results: Path, run: Runner) -> None:
    """With --allow-outside-root as well, though they lead out."""
    media = [
        "../../../x.png",
        "/x.png",
        "....//x.png",
        "a/./x.png",
        "..",
        "a\0.png",
        "\\..\\x.png",
        "a/..png",
        "~/x.png",
    ]
    root = str(results.parent / "media")
    records = [{**caption_record(n, root=root), "image": name} for n, name in enumerate(media)]
    tar = {"offset": 512, "size": 1}
    files = ["../../../t.tar", "/t.tar", "..", "."]
    records += [{**caption_record(20 + n, root=root), "tar": {**tar, "file": name}} for n, name in enumerate(files)]
    write_lines(results / "Rank0_node0_x.jsonl", records)
    before, out = everything(tmp_path), results.with_name("out")
    for kind in ("txt", "jsonl", "parquet"):
        for flags in ((), ("--allow-outside-root",)):
            place = out.with_name(f"{kind}{len(flags)}")
            told = run.main(export, "--data-folder", results, "--all", "--format", kind, "--output", place, *flags)
            assert told.status in (0, 1), told.said
            made = everything(tmp_path) - before
            assert all(path.is_relative_to(place.relative_to(tmp_path)) for path in made), made
            before |= made
