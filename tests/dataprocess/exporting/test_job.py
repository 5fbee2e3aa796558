"""What all formats promise of the place that they write to."""

import errno
import json
from pathlib import Path

import pytest
from exporting import webdataset
from exporting.formats import FORMATS

from tests.dataprocess.exporting.conftest import Captions, Export


def size_of(place: Path) -> int:
    return sum(path.stat().st_size for path in (place, *place.rglob("*")) if path.is_file())


@pytest.mark.parametrize("kind", FORMATS)
def test_nothing_is_replaced_unless_asked(tmp_path: Path, captions: Captions, do_export: Export, kind: str) -> None:
    out, (results, records) = tmp_path / "out", captions
    assert do_export(results, kind, "--output", out).status == 0
    before = {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))}
    outcome = do_export(results, kind, "--output", out)
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "out is there already; --overwrite replaces an earlier export" in outcome.said
    assert {path: path.stat().st_mtime_ns for path in (out, *out.rglob("*"))} == before
    size = size_of(out)
    (results / "filtered" / "kept.jsonl").write_text(json.dumps(records[0]) + "\n")
    assert do_export(results, kind, "--output", out, "--overwrite").status == 0
    assert size_of(out) < size
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_no_export_is_never_replaced(tmp_path: Path, captions: Captions, do_export: Export, kind: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    outcome = do_export(captions[0], kind, "--output", out, "--overwrite")
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_an_export_that_fails_leaves_nothing(
    tmp_path: Path, captions: Captions, do_export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(webdataset, "shard_key", full)
    before = {path.name for path in tmp_path.iterdir()}
    outcome = do_export(captions[0], "webdataset", "--output", tmp_path / "out")
    assert outcome.status == 1
    assert outcome.said == f"error: export {tmp_path}/out: cannot be written: No space left on device\n"
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_export_tells_of_itself(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    do_export(captions[0], "jsonl", "--output", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "export.json").read_text()) == {
        "captions": 5,
        "modalities": {"image": 3, "video": 2},
        "datasets": {"photos": 3, "the.clips/set": 2},
        "domains": {"Natural": 3, "Video & Temporal": 2},
        "models": {"m": 5},
        "prompts": {"p": 5},
        "filter": {"min_overall": 3.5, "min_dim_score": 2, "drop_truncated": False},
        "left_out": {},
        "notes": {"ids are written as text, since not all are whole numbers": 4},
        "holds": ["Metafile.json", "photos.jsonl", "the.clips_set.jsonl"],
    }


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("txt", "--without-media"), "--without-media goes with --format huggingface"),
        (("parquet", "--instruction", "x"), "--instruction goes with --format conversations, jsonl"),
        (("jsonl", "--shard-megabytes", "5"), "--shard-megabytes goes with --format webdataset, huggingface"),
        (("webdataset", "--shard-megabytes", "0"), "--shard-megabytes must be at least 1"),
    ],
)
def test_flags_of_other_formats(
    tmp_path: Path, captions: Captions, do_export: Export, flags: tuple[str, ...], complaint: str
) -> None:
    outcome = do_export(captions[0], *flags, "--output", tmp_path / "out")
    assert (outcome.status, outcome.said.count("\n")) == (2, 1)
    assert complaint in outcome.said
