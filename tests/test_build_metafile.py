import json
from pathlib import Path

import pytest

from MetaCaptioner.data.metafile import read_metafile
from MetaCaptioner.data.taxonomy import DOMAINS
from tests.data.inputs.building import Build
from tests.helpers import picture_rows
from tests.pipeline.commands import run, script


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    picture_rows(tmp_path / "photos", 2)
    return tmp_path / "photos"


def test_a_metafile_is_extended_and_what_it_has_stays(build: Build, tmp_path: Path, photos: Path) -> None:
    metafile = tmp_path / "Metafile.json"
    mine = {"root": "/data/ade", "annotation": "/data/ade.json", "task": "Natural", "own": [1, {"ä": None}]}
    metafile.write_text(json.dumps({"ADE": mine}))
    built = build(metafile, "folder", photos, "--task", "medical", "--name", "two/photos")
    assert built.status == 0
    assert list(built.entries) == ["ADE", "two/photos"]
    assert built.entries["ADE"] == mine
    assert built.entries["two/photos"]["annotation"] == "two_photos.jsonl"
    datasets, problems = read_metafile(metafile, DOMAINS)
    assert not problems
    assert (datasets["two/photos"].root, datasets["two/photos"].task) == (photos, "medical")


def test_a_name_that_is_taken_is_refused_unless_it_is_replaced(build: Build, tmp_path: Path, photos: Path) -> None:
    metafile = tmp_path / "Metafile.json"
    build(metafile, "folder", photos)
    before = {path: path.read_bytes() for path in (metafile, tmp_path / "photos.jsonl")}
    picture_rows(photos, 3)
    built = build(metafile, "folder", photos)
    assert (built.status, built.said.count("\n")) == (1, 1)
    assert "dataset 'photos' is there already; --update keeps its rows and adds what is new" in built.said
    assert {path: path.read_bytes() for path in before} == before
    built = build(metafile, "folder", photos, "--replace")
    assert (built.status, built.entries["photos"]["length"], len(built.rows)) == (0, 3, 3)
    assert "note: 'photos' was made anew: results so far are of other rows" in built.said


def test_an_annotation_file_that_is_there_is_refused_too(build: Build, tmp_path: Path, photos: Path) -> None:
    (tmp_path / "photos.jsonl").write_text("mine")
    built = build(tmp_path / "Metafile.json", "folder", photos)
    assert (built.status, (tmp_path / "photos.jsonl").read_text()) == (1, "mine")
    assert "photos.jsonl is there already" in built.said


def test_the_annotation_file_of_another_dataset_is_never_replaced(build: Build, tmp_path: Path, photos: Path) -> None:
    build(tmp_path / "Metafile.json", "folder", photos, "--name", "a_b")
    before = (tmp_path / "a_b.jsonl").read_bytes()
    picture_rows(photos, 3)
    for _ in range(2):
        built = build(tmp_path / "Metafile.json", "folder", photos, "--name", "a/b", "--replace")
        assert (built.status, built.said.count("\n")) == (1, 1)
        assert "a_b.jsonl is that of dataset 'a_b'; take another --name than 'a/b'" in built.said
    assert (tmp_path / "a_b.jsonl").read_bytes() == before


def test_a_broken_metafile_is_left_as_it_is(tmp_path: Path, photos: Path) -> None:
    for content in ("[1]", '{"a": '):
        (tmp_path / "Metafile.json").write_text(content)
        given = ("--format", "folder", "--input", photos, "--metafile", tmp_path / "Metafile.json")
        done = run(script("build_metafile", *given))
        assert (done.returncode, done.stdout.count("\n")) == (1, 1)
        assert (tmp_path / "Metafile.json").read_text() == content
        assert not (tmp_path / "photos.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (("--task", "vqa"), "--task: task 'vqa' is no domain"),
        (("--split", "train"), "--split says nothing to --format folder"),
        (("--name", "…"), "give the dataset a --name"),
        (("--shard-megabytes", "5"), "--shard-megabytes says nothing to --format folder"),
    ],
)
def test_bad_arguments(build: Build, tmp_path: Path, photos: Path, flags: tuple[str, ...], complaint: str) -> None:
    built = build(tmp_path / "Metafile.json", "folder", photos, *flags)
    assert (built.status, built.said.count("\n")) == (2, 1)
    assert complaint in built.said


def test_a_root_that_is_not_there_is_refused(build: Build, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,caption\na.jpg,x\n")
    built = build(tmp_path / "Metafile.json", "table", tmp_path / "rows.csv", "--root", tmp_path / "phtos")
    assert (built.status, built.said.count("\n")) == (1, 1)
    assert f"--root {tmp_path / 'phtos'}: there is no such folder" in built.said
