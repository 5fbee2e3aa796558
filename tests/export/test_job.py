"""What all formats promise of the place that they write to."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.export import huggingface, webdataset
from MetaCaptioner.export.registry import FORMATS
from tests.export.conftest import Captions, Export


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
        "notes": {
            "datasets have another name in the names of files": 1,
            "ids are written as text, since not all are whole numbers": 4,
        },
        "names": {"the.clips/set": "the.clips_set"},
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


@pytest.mark.parametrize("kind", ["webdataset", "huggingface"])
def test_media_too_big_for_a_table_are_left_out_unread(
    tmp_path: Path, captions: Captions, do_export: Export, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    results, records = captions
    big = Path(records[3]["root"]) / "a.mp4"
    os.truncate(big, 2**31)  # takes no room on the disk
    monkeypatch.setattr(MediaSource, "read", lambda source: pytest.fail("read") if source.path == big else b"media")
    for path in (results / "filtered" / "kept.jsonl", *results.glob("Rank*")):
        path.write_text(path.read_text().replace("media_hash", "other"))
    outcome = do_export(results, kind, "--output", tmp_path / "out")
    assert outcome.status == 1
    assert f"left out: 1 captions whose media are over 2 GiB, more than a table or shard holds (first: {big})" in (
        outcome.said
    )
    assert json.loads((tmp_path / "out" / "export.json").read_text())["captions"] == 4


def test_values_that_fit_alone_do_not_meet_in_one_column(
    tmp_path: Path, captions: Captions, do_export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of a column holds for all rows of a batch together."""
    monkeypatch.setattr(huggingface, "MOST_MEDIA_BYTES", 1)
    batches: list[int] = []
    column = huggingface._media_column

    def counting(media: Sequence[tuple[bytes, str]]) -> object:
        batches.append(len(media))
        return column(media)

    monkeypatch.setattr(huggingface, "_media_column", counting)
    assert do_export(captions[0], "huggingface", "--output", tmp_path / "out").status == 0
    assert batches == [1] * 5


def test_a_table_that_no_export_wrote_is_never_replaced(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    out = tmp_path / "mine.parquet"
    for content in (b"text", b"", None):
        if content is None:
            pd.DataFrame({"caption": ["mine"]}).to_parquet(out)
        else:
            out.write_bytes(content)
        before = out.read_bytes()
        outcome = do_export(captions[0], "parquet", "--output", out, "--overwrite")
        assert (outcome.status, outcome.said.count("\n")) == (1, 1)
        assert "mine.parquet is no earlier export; move it away or name another place" in outcome.said
        assert out.read_bytes() == before


def test_a_table_tells_of_itself(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    do_export(captions[0], "parquet", "--output", tmp_path / "out.parquet")
    told = json.loads(pq.read_metadata(tmp_path / "out.parquet").metadata[b"metacaptioner.export"])
    assert (told["captions"], told["filter"]["min_overall"]) == (5, 3.5)


@pytest.mark.parametrize("added", ["dataset_info.json", ".git", "sub/mine.txt"])
def test_an_export_that_somebody_added_to_is_never_replaced(
    tmp_path: Path, captions: Captions, do_export: Export, added: str
) -> None:
    out = tmp_path / "out"
    do_export(captions[0], "jsonl", "--output", out)
    (out / added).parent.mkdir(exist_ok=True)
    (out / added).write_text("mine")
    outcome = do_export(captions[0], "jsonl", "--output", out, "--overwrite")
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert f"holds {added.split('/')[0]}, which no export wrote" in outcome.said
    assert (out / added).read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"captions": "mine"}'])
def test_a_folder_with_another_export_json_is_never_replaced(
    tmp_path: Path, captions: Captions, do_export: Export, content: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "export.json").write_text(content)
    outcome = do_export(captions[0], "jsonl", "--output", tmp_path / "out", "--overwrite")
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "its export.json is not that of an export" in outcome.said
    assert (tmp_path / "out" / "export.json").read_text() == content


def test_lines_that_are_no_captions_are_counted(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, records = captions
    with (results / "filtered" / "kept.jsonl").open("a") as file:
        file.write(json.dumps(records[0] | {"caption": None, "index": 9}) + "\n" + json.dumps(records[1]) + "\n")
        for number, lacking in enumerate(("root", "image", "modality", "id"), start=20):
            odd = {**records[0], "index": number, "sample_id": f"photos/{number}"}
            del odd[lacking]
            file.write(json.dumps(odd) + "\n")
        file.write('{"sample_id": "photos/12", "data_na')
    outcome = do_export(results, "parquet", "--output", tmp_path / "out", "--stale")
    assert outcome.status == 1
    assert "left out: 1 lines that are no records" in outcome.said
    assert "left out: 1 records without a caption of a row" in outcome.said
    assert "left out: 2 records that name no picture or clip (first: photos/21)" in outcome.said
    for name, number in (("root", 20), ("id", 23)):
        assert f"left out: 1 records without the field '{name}' (first: photos/{number})" in outcome.said
    assert "note: 1 captions of a sample that has another one are not among them (first: photos/1)" in outcome.said
    assert len(pd.read_parquet(tmp_path / "out")) == 5


def test_the_threshold_of_a_dimension_is_told(tmp_path: Path, captions: Captions, do_export: Export) -> None:
    results, _ = captions
    told = {"min_overall": 3.0, "min_dim_score": 2, "min_dim_score_of": {"accuracy": 4, "fluency": 3}}
    (results / "filtered" / "summary.json").write_text(json.dumps({"thresholds": told}))
    outcome = do_export(results, "huggingface", "--output", tmp_path / "out")
    words = "min_overall 3.0, min_dim_score 2, min_dim_score_of accuracy 4, min_dim_score_of fluency 3"
    assert f"which the filter kept ({words})" in outcome.said
    assert f"Filter: {words}." in (tmp_path / "out" / "README.md").read_text()
