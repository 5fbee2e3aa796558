import json
from pathlib import Path

import pandas as pd
import pytest

from tests.made_records import WriteLines, caption_record, failed, score_record
from tests.pipeline.commands import module, run, script, succeed

FLAG = "--allow-outside-root"


@pytest.fixture
def results(tmp_path: Path, write_lines: WriteLines) -> Path:
    """Three kept captions of two datasets; one of them names a file outside its root."""
    marks = {"scores": score_record(0)["scores"], "overall": 4.0, "reason": "good"}
    media = tmp_path / "media"
    media.mkdir()
    for name in ("0.png", "a.mp4"):
        (media / name).write_bytes(b"media")
    kept = [caption_record(0, root=str(media)), caption_record(1, root=str(media), image="sub/../../escape.png")]
    clip = caption_record(0, name="clips", root=str(media), modality="video", video="a.mp4", task="Video & Temporal")
    del clip["image"]
    folder = tmp_path / "Caption"
    write_lines(folder / "filtered" / "kept.jsonl", [{**record, **marks} for record in (*kept, clip)])
    (folder / "filtered" / "summary.json").write_text("{}")
    write_lines(folder / "Rank0_node0_photos.jsonl", [*kept, clip, caption_record(2), failed(caption_record(3), "x")])
    return folder


def export(results: Path, *flags: str | Path) -> str:
    return succeed(script("export", "--data-folder", results, FLAG, *flags))


@pytest.mark.parametrize("kind", ["conversations", "jsonl", "parquet", "txt", "webdataset", "huggingface"])
def test_captions_of_media_outside_their_root_are_left_out_unless_that_is_allowed(results: Path, kind: str) -> None:
    (results.parent / "escape.png").write_bytes(b"media")
    (results.parent / "media" / "sub").mkdir()
    command = script("export", "--data-folder", results, "--format", kind, "--output", results.parent / "out")
    done = run(command)
    assert done.returncode == 1
    told = "left out: 1 captions of media outside their root (--allow-outside-root takes them) (first: photos/1)"
    assert told in done.stdout
    assert "2 captions written" in done.stdout
    assert "3 captions written" in succeed([*command, "--overwrite", FLAG])


def test_conversations_are_annotation_files_again(tmp_path: Path, results: Path) -> None:
    out = tmp_path / "out"
    assert "3 captions written" in export(results, "--format", "conversations", "--output", out)
    [first, _] = json.loads((out / "photos.json").read_text())
    assert first["conversations"] == [
        {"from": "human", "value": "<image>\nDescribe this in detail."},
        {"from": "gpt", "value": "caption 0"},
    ]
    assert (first["id"], first["image"], first["task"]) == (0, "0.png", "Natural")
    [clip] = json.loads((out / "clips.json").read_text())
    assert clip["video"] == "a.mp4"
    assert clip["conversations"][0]["value"].startswith("<video>\n")
    plan = tmp_path / "plan.jsonl"
    succeed(module("plan", "--metafile", out / "Metafile.json", "--num-ranks", "1", "--output", plan, FLAG))
    assert sum(json.loads(line)["total"] for line in plan.read_text().splitlines()) == 3


def test_texts_stay_under_the_output_folder(tmp_path: Path, results: Path) -> None:
    out = tmp_path / "out"
    export(results, "--format", "txt", "--output", out)
    written = {str(path.relative_to(tmp_path)): path.read_text() for path in tmp_path.rglob("*.txt")}
    assert written == {
        "out/photos/0.txt": "caption 0\n",
        "out/photos/sub/escape.txt": "caption 1\n",
        "out/clips/a.txt": "caption 0\n",
    }


def test_texts_beside_the_media(tmp_path: Path, results: Path) -> None:
    done = run(script("export", "--data-folder", results, "--format", "txt", "--beside"))
    assert done.returncode == 1
    assert "left out: 1 captions of media outside their root (--allow-outside-root takes them)" in done.stdout
    assert not (tmp_path / "escape.txt").exists()
    assert (tmp_path / "media" / "0.txt").read_text() == "caption 0\n"
    assert (tmp_path / "media" / "a.txt").read_text() == "caption 0\n"


def test_two_captions_of_one_name_both_get_a_file(tmp_path: Path, write_lines: WriteLines) -> None:
    kept = [caption_record(0, image="x.png"), caption_record(1, image="x.jpg")]
    write_lines(tmp_path / "filtered" / "kept.jsonl", kept)
    (tmp_path / "filtered" / "summary.json").write_text("{}")
    export(tmp_path, "--format", "txt", "--output", tmp_path / "out")
    texts = sorted((path.name, path.read_text()) for path in (tmp_path / "out" / "photos").iterdir())
    assert texts == [("x.jpg.txt", "caption 1\n"), ("x.png.txt", "caption 0\n")]


def test_parquet_is_read_by_pandas(tmp_path: Path, results: Path) -> None:
    out = tmp_path / "captions.parquet"
    export(results, "--format", "parquet", "--output", out)
    table = pd.read_parquet(out)
    assert table["sample_id"].tolist() == ["clips/0", "photos/0", "photos/1"]
    assert table["caption"].tolist() == ["caption 0", "caption 0", "caption 1"]
    assert table["accuracy"].tolist() == [4, 4, 4]
    assert table["overall"].tolist() == [4.0, 4.0, 4.0]
    assert table["media"].tolist()[0] == "a.mp4"


def test_all_takes_what_was_not_filtered_but_no_failures(tmp_path: Path, results: Path) -> None:
    export(results, "--format", "parquet", "--output", tmp_path / "all.parquet", "--all")
    ids = pd.read_parquet(tmp_path / "all.parquet")["sample_id"].tolist()
    assert ids == ["clips/0", "photos/0", "photos/1", "photos/2"]


def test_mistakes_are_told_in_one_line(tmp_path: Path, results: Path) -> None:
    done = run(script("export", "--data-folder", tmp_path, "--format", "txt", "--beside"))
    assert done.returncode == 1
    assert "filter first" in done.stdout
    for flags in (["--format", "parquet", "--beside"], ["--format", "txt"]):
        done = run(script("export", "--data-folder", results, *flags))
        assert done.returncode == 2
        assert done.stdout.count("\n") == 1


def test_columns_of_marks_are_those_of_the_captions(tmp_path: Path, results: Path) -> None:
    kept = results / "filtered" / "kept.jsonl"
    own = [json.loads(line) | {"scores": {"truth": 5, "caption": 4}, "overall": 4.5} for line in kept.open()]
    kept.write_text("".join(json.dumps(record) + "\n" for record in own))
    out = tmp_path / "captions.parquet"
    assert "note: marks" not in export(results, "--format", "parquet", "--output", out, "--stale")
    table = pd.read_parquet(out)
    assert table.columns.tolist()[9:12] == ["overall", "truth", "mark_caption"]
    assert (table["truth"].tolist(), table["mark_caption"].tolist()) == ([5, 5, 5], [4, 4, 4])
    assert "accuracy" not in table
    own[0] |= {"scores": {"accuracy": 3}, "overall": 3.0}
    kept.write_text("".join(json.dumps(record) + "\n" for record in own))
    said = export(results, "--format", "parquet", "--output", out, "--stale", "--overwrite")
    assert "note: marks are of judges with different dimensions" in said
    table = pd.read_parquet(out)
    assert {"accuracy", "truth"} <= set(table.columns)
    assert table["accuracy"].count() == 1
    assert table["truth"].count() == 2
