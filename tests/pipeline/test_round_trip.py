"""Data as they are -> Metafile -> captions -> every export -> read by its own library: the same ids and captions."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
import webdataset

from MetaCaptioner import build_metafile, verify
from MetaCaptioner.export import command as export_command
from MetaCaptioner.export.registry import FORMATS
from MetaCaptioner.report import command as report_command
from tests.helpers import Runner, make_clip, picture_rows, records

Told = dict[str, tuple[object, str]]
"""sample_id -> (id, caption)."""
NAMES = ("0.png", "1.png", "sub/0.png", "sub/clip.mp4")


@pytest.fixture
def media(tmp_path: Path) -> Path:
    picture_rows(tmp_path / "media", 2)
    picture_rows(tmp_path / "media" / "sub", 3)
    (tmp_path / "media" / "sub" / "2.png").replace(tmp_path / "media" / "sub" / "0.png")
    (tmp_path / "media" / "sub" / "1.png").unlink()
    make_clip(tmp_path / "media" / "sub" / "clip.mp4", 8)
    (tmp_path / "media" / "1.txt").write_text("An earlier caption.")
    return tmp_path / "media"


def caption(run: Runner, folder: Path, kind: str, place: Path) -> Path:
    """Build, plan and caption; the result folder, in which every sample has its caption."""
    metafile, plan, out = folder / "Metafile.json", folder / "plan.jsonl", folder / "Caption"
    built = run.main(build_metafile.main, "--format", kind, "--input", place, "--metafile", metafile, "--name", "set")
    assert built.status == 0, built.said
    assert run.plan(metafile, plan).status == 0
    assert run.caption(plan, out, "--video-frames", "4").status == 0
    assert (
        run.main(verify.main, "--plan", plan, "--data-folder", out, "--check-media", "9", "--fail-on-errors").status
        == 0
    )
    return out


def told_by(results: Path) -> Told:
    return {sample_id: (record["id"], record["caption"]) for sample_id, record in records(results).items()}


def parts(out: Path, suffix: str) -> list[str]:
    """The lines of the two files of a dataset of pictures and clips."""
    return [line for name in ("set", "set_video") for line in (out / f"{name}{suffix}").read_text().splitlines()]


def of_rows(rows: list[dict[str, Any]]) -> Told:
    return {row["sample_id"]: (row["id"], row["conversations"][1]["value"]) for row in rows}


def of_columns(rows: list[dict[str, Any]]) -> Told:
    return {row["sample_id"]: (row["id"], row["caption"]) for row in rows}


def of_shards(out: Path) -> Told:
    samples = webdataset.WebDataset([str(path) for path in sorted(out.glob("*.tar"))], shardshuffle=False)
    told = [(json.loads(sample["json"]), sample["txt"].decode()) for sample in samples]
    return {one["sample_id"]: (one["id"], text) for one, text in told}


def of_hub(out: Path) -> Told:
    told: Told = {}
    for name, kind in (("image", datasets.Image), ("video", datasets.Video)):
        told |= of_columns(
            list(datasets.load_dataset(str(out), name, split="train").cast_column(name, kind(decode=False)))
        )
    return told


def of_texts(out: Path) -> Told:
    """The files are told apart by their names, which are the ids here."""
    places = {f"set/{number}": (name, (out / "set" / name).with_suffix(".txt")) for number, name in enumerate(NAMES)}
    return {sample_id: (name, path.read_text().removesuffix("\n")) for sample_id, (name, path) in places.items()}


READERS: dict[str, Callable[[Path], Told]] = {
    "conversations": lambda out: of_rows(
        [json.loads(line.removesuffix(",")) for line in parts(out, ".json") if line.startswith("{")]
    ),
    "jsonl": lambda out: of_rows([json.loads(line) for line in parts(out, ".jsonl")]),
    "parquet": lambda out: of_columns(pd.read_parquet(out).to_dict("records")),
    "txt": of_texts,
    "webdataset": of_shards,
    "huggingface": of_hub,
}


def test_a_folder_comes_back_from_every_export(
    tmp_path: Path, media: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    results = caption(run, tmp_path, "folder", media)
    told = told_by(results)
    assert {sample_id: row_id for sample_id, (row_id, _) in told.items()} == {f"set/{n}": NAMES[n] for n in range(4)}
    for kind in FORMATS:
        out = tmp_path / kind
        done = run.main(export_command.main, "--data-folder", results, "--format", kind, "--output", out, "--all")
        assert done.status == 0, done.said
        assert READERS[kind](out) == told, kind


def test_shards_are_captioned_in_place(tmp_path: Path, media: Path, run: Runner) -> None:
    with tarfile.open(tmp_path / "train-000.tar", "w") as shard:
        for name in NAMES:
            shard.add(media / name, name)
    for name in NAMES:
        (media / name).unlink()
    before = {path for path in tmp_path.rglob("*") if path.suffix in (".png", ".mp4")}
    results = caption(run, tmp_path, "webdataset", tmp_path / "train-000.tar")
    told = told_by(results)
    assert {row_id for row_id, _ in told.values()} == {"0", "1", "sub/0", "sub/clip"}
    assert run.score(results).status == 0
    assert {record["status"] for record in records(results / "score").values()} == {"ok"}
    assert run.main(report_command.main, "--data-folder", results).status == 0
    page = (results / "report.html").read_text()
    assert page.count("data:image/webp;base64,") == len(NAMES)
    done = run.main(
        export_command.main, "--data-folder", results, "--format", "webdataset", "--output", tmp_path / "w", "--all"
    )
    assert done.status == 0, done.said
    assert of_shards(tmp_path / "w") == told
    assert {path for path in tmp_path.rglob("*") if path.suffix in (".png", ".mp4")} == before


@pytest.mark.parametrize("kind", ["webdataset", "huggingface", "parquet"])
def test_what_is_exported_can_be_taken_in_again(tmp_path: Path, media: Path, run: Runner, kind: str) -> None:
    (media / "sub" / "clip.mp4").unlink()
    results = caption(run, tmp_path, "folder", media)
    out = tmp_path / ("out.parquet" if kind == "parquet" else "out")
    run.main(export_command.main, "--data-folder", results, "--format", kind, "--output", out, "--all")
    flags = ("--root", media) if kind == "parquet" else ()
    taken = "table" if kind == "parquet" else kind
    metafile = tmp_path / "again" / "Metafile.json"
    again = run.main(build_metafile.main, "--format", taken, "--input", out, "--metafile", metafile, *flags)
    assert again.status == 0, again.said
    rows = [json.loads(line) for line in (metafile.parent / "out.jsonl").read_text().splitlines()]
    assert {(row["id"], row["conversations"][1]["value"]) for row in rows} == set(told_by(results).values())
    assert run.plan(metafile, tmp_path / "again.jsonl").status == 0
    assert run.caption(tmp_path / "again.jsonl", tmp_path / "again" / "Caption").status == 0
    first, second = (
        {record["id"]: record["media_hash"] for record in records(folder).values()}
        for folder in (results, tmp_path / "again" / "Caption")
    )
    assert first == second
    assert len(set(first.values())) == 3
