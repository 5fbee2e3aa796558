"""`metacaptioner run`, as a user types it: processes of its own, real photographs and clips, the scripted engine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from MetaCaptioner import run as run_command
from MetaCaptioner.launch.local import Launch
from MetaCaptioner.metrics.usage import runs_of
from MetaCaptioner.stages.run_folder import Origin
from MetaCaptioner.utils.options_sources import READ_NO_FILE
from tests.helpers import Runner, make_clip, pack, picture_rows, records, write_annotation, write_metafile
from tests.pipeline.commands import environment, module, script, succeed
from tests.pipeline.commands import run as run_process
from tests.pipeline.test_kill import wait_for_lines

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "camera", "coins", "moon", "page")
SCRIPTED = ("--engine", "scripted", "--min-overall", "1", "--min-dim-score", "1", "--decode-threads", "2")
ONE_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of photographs, and two clips in one below it."""
    folder = tmp_path / "photos"
    (folder / "clips").mkdir(parents=True)
    for name in PHOTOGRAPHS:
        Image.fromarray(getattr(data, name)()).resize((160, 120)).save(folder / f"{name}.png")
    for name, frames in (("a", 12), ("b", 20)):
        make_clip(folder / "clips" / f"{name}.mp4", frames)
    return folder


def command(place: object, out: Path, *flags: object) -> list[str]:
    parts = [sys.executable, "-m", "MetaCaptioner", "run", place, "--output", out, *SCRIPTED, *flags]
    return [str(part) for part in parts]


def done(place: object, out: Path, *flags: object, status: int = 0) -> str:
    ended = run_process(command(place, out, *flags), ONE_GPU)
    assert ended.returncode == status, ended.stdout
    return ended.stdout


def start(place: object, out: Path, *flags: object, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as file:
        return subprocess.Popen(
            command(place, out, *flags), env=environment(ONE_GPU), stdout=file, stderr=file, start_new_session=True
        )


def rows_by_name(out: Path) -> dict[str, str]:
    """The medium of each record by its sample."""
    return {name: str(record.get("image") or record.get("video")) for name, record in records(out / "Caption").items()}


def states(folder: Path, names: Sequence[str]) -> dict[str, tuple[int, bytes]]:
    return {name: ((folder / name).stat().st_mtime_ns, (folder / name).read_bytes()) for name in names}


def test_a_folder_is_captioned_and_brought_up_to_date(photos: Path, tmp_path: Path) -> None:
    out, flags = tmp_path / "out", ("--export", "txt", "--beside")
    (photos / "broken.jpg").write_bytes(b"nothing")
    first = done(photos, out, *flags)
    assert first.count("loading the scripted engine") == 1
    for step in ("build", "plan", "route, caption, score", "filter", "report", "export"):
        assert f"== {step}\n" in first
    assert f"captions: 10 in {out / 'Caption'}; 1 failed\nnote: failed: media_corrupt: {photos / 'broken.jpg'}" in first
    assert f"report: {out / 'Caption' / 'report.html'}\n" in first
    texts = [f"{name}.txt" for name in PHOTOGRAPHS] + ["clips/a.txt", "clips/b.txt"]
    before, rows = states(photos, texts), rows_by_name(out)
    assert len(records(out / "Caption" / "score")) == 10
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".")) == [
        *("Caption", "config.yaml", "data", "run.json", "split_plan.jsonl")
    ]

    second = done(photos, out, *flags)
    assert "loading" not in second
    assert "is new or gone" in second
    assert states(photos, texts) == before
    assert len(runs_of([out / "Caption"])) == 1

    gone = ("coffee", "coins", "moon")
    for name in gone:
        (photos / f"{name}.png").unlink()
    for number in range(5):
        shutil.copy(photos / "chelsea.png", photos / f"{number}.png")
    third = done(photos, out, *flags)
    assert "photos: 5 new, 3 gone\n" in third
    assert "captionpipeline: 11 of 16 samples are done, 5 to do" in third  # those that are gone are done too
    assert "rank 0: 5 samples: 5 ok" in third
    assert "captions: 12 in" in third
    assert "3 of media that are gone" in third
    stay = [text for text in texts if text.removesuffix(".txt") not in gone]
    assert states(photos, stay) == {name: before[name] for name in stay}
    assert all((photos / f"{number}.txt").is_file() for number in range(5))
    assert not any((photos / f"{name}.txt").exists() for name in gone)
    now = rows_by_name(out)
    assert {name: now[name] for name in rows} == rows
    kept = [json.loads(line) for line in (out / "Caption" / "filtered" / "kept.jsonl").read_text().splitlines()]
    assert len(kept) == 12
    assert not {f"{name}.png" for name in gone} & {record.get("image") for record in kept}
    page = (out / "Caption" / "report.html").read_text()
    assert "moon.png" not in page
    everything = (
        "--data-folder",
        out / "Caption",
        "--format",
        "parquet",
        "--output",
        tmp_path / "all.parquet",
        "--all",
    )
    told = succeed(script("export", *everything))
    assert "3 captions of media that are gone are not among them" in told
    assert "12 captions written" in told

    Image.fromarray(data.moon()).resize((160, 120)).save(photos / "moon.png")
    back = done(photos, out, *flags)
    assert "photos: 1 back\n" in back
    assert "loading" not in back  # its caption is still there
    assert (photos / "moon.txt").read_bytes() == before["moon.txt"][1]


def test_killed_at_any_moment_it_goes_on(photos: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    flags = ("--ranks", 2, "--in-flight", 1, "--takeover-chunk", 0, "--grace-seconds", 1)
    process = start(photos, out, *flags, "--engine-arg", "delay=0.3", log=log)
    wait_for_lines(out / "Caption", 2, process)
    process.kill()
    process.wait()
    said = done(photos, out, *flags)
    assert "captions: 10 in" in said
    made = records(out / "Caption")  # none is there twice
    assert set(made) == set(records(out / "Caption" / "score"))
    assert {path.name[:5] for path in (out / "Caption").glob("Rank*")} == {"Rank0", "Rank1"}
    assert {path.name[:5] for path in (out / "Caption" / "score").glob("Rank*")} == {"Rank0", "Rank1"}
    assert said.count("loading the scripted engine") <= 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_it_ends_with_status_3_and_goes_on(photos: Path, tmp_path: Path, number: signal.Signals) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(photos, out, "--in-flight", 1, "--engine-arg", "delay=0.3", log=log)
    wait_for_lines(out / "Caption", 1, process)
    process.send_signal(number)
    assert process.wait(60) == 3, log.read_text()
    assert log.read_text().endswith("stopped; run the same command again to go on\n")
    assert "== filter" not in log.read_text()
    assert 0 < len(records(out / "Caption")) < 10
    assert "captions: 10 in" in done(photos, out)


def test_the_number_of_ranks_may_change(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done(photos, out, "--ranks", 2)
    made = rows_by_name(out)
    shutil.copy(photos / "chelsea.png", photos / "new.png")
    said = done(photos, out, "--ranks", 1)
    assert "rank 0: 1 samples: 1 ok" in said
    assert "captions: 11 in" in said
    assert {name: rows_by_name(out)[name] for name in made} == made
    assert set(records(out / "Caption")) == set(records(out / "Caption" / "score"))


def test_the_file_of_a_run_makes_it_again_from_any_folder_though_the_input_has_grown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_rows(tmp_path / "photos", 2)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    done("photos", tmp_path / "out")
    picture_rows(tmp_path / "photos", 3)
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = [sys.executable, "-m", "MetaCaptioner", "run", "--config", str(tmp_path / "out" / "config.yaml")]
    ended = run_process(again, ONE_GPU)
    assert ended.returncode == 0, ended.stdout
    assert len(records(tmp_path / "out" / "Caption")) == 3


def test_the_steps_of_a_run_read_no_file() -> None:
    options = run_command.RunOptions(input="photos", output=Path("out"), seed=-3, one_line=False)
    asked = run_command.Run(options, Origin("photos", "folder"), Launch(1), -1, run_command.Stops())
    assert asked.flags(run_command.StageOptions) == ["--seed=-3", READ_NO_FILE]


def test_other_inputs_are_told_apart_and_brought_up_to_date(photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "paths.csv"
    names = [f"photos/{name}.png" for name in PHOTOGRAPHS]
    table.write_text("\n".join(["path", *names[:3]]) + "\n")
    assert "captions: 3 in" in done(table, tmp_path / "of_table", "--export", "parquet")
    table.write_text("\n".join(["path", *names[1:5]]) + "\n")
    said = done(table, tmp_path / "of_table", "--export", "parquet")
    assert "paths: 2 new, 1 gone\n" in said
    assert "captions: 4 in" in said

    shards = tmp_path / "shards"
    shards.mkdir()
    pack(shards / "0.tar", photos / "chelsea.png", photos / "clips" / "a.mp4")
    assert "captions: 2 in" in done(shards, tmp_path / "of_shards", "--export", "webdataset")
    assert list((tmp_path / "of_shards" / "export" / "webdataset").glob("*.tar"))

    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 2))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    assert "captions: 2 in" in done(metafile, tmp_path / "of_metafile")
    assert "loading" not in done(metafile, tmp_path / "of_metafile")


def test_a_dataset_that_left_the_metafile_is_left_out(tmp_path: Path) -> None:
    entries = {}
    for name, count in (("one", 2), ("two", 3)):
        write_annotation(tmp_path / f"{name}.json", picture_rows(tmp_path / name, count))
        entries[name] = {"root": name, "annotation": f"{name}.json", "task": "Natural"}
    metafile, out = write_metafile(tmp_path, **entries), tmp_path / "out"
    assert "captions: 5 in" in done(metafile, out)
    write_metafile(tmp_path, one=entries["one"])
    for _ in range(2):  # and stays so
        said = done(metafile, out)
        assert f"captions: 2 in {out / 'Caption'}, 3 of media that are gone; 0 failed" in said
        assert "kept: 2 in" in said
        assert "loading" not in said
    metafile.unlink()
    assert f"error: Metafile {metafile}: cannot be read: No such file or directory\n" in done(metafile, out, status=1)
    assert not (out / "Caption" / "gone_rows.json").read_text().count("one")
    write_metafile(tmp_path, **entries)
    said = done(metafile, out)
    assert "captions: 5 in" in said
    assert "loading" not in said


def test_other_prompts_are_refused_until_they_are_meant(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done(photos, out)
    refused = done(photos, out, "--max-output-tokens", 9, status=1)
    assert refused.count("error: ") == 1
    assert "--redo" in refused
    again = done(photos, out, "--max-output-tokens", 9, "--redo")
    assert "captionpipeline: 0 of 10 samples are done, 10 to do" in again
    assert "captions: 10 in" in again


def test_what_stages_have_made_of_the_same_metafile_is_gone_on_with(tmp_path: Path) -> None:
    write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 3))
    metafile = write_metafile(tmp_path, set={"root": "media", "annotation": "set.json", "task": "Natural"})
    out = tmp_path / "out"
    plan = ("--metafile", metafile, "--num-ranks", "2", "--output", out / "split_plan.jsonl")
    succeed(module("plan", *plan))
    stage = ("--plan", out / "split_plan.jsonl", "--output-dir", out / "Caption", "--engine", "scripted")
    succeed(module("captionpipeline", *stage, "--max-samples", "2"), ONE_GPU)
    said = done(metafile, out, "--routes", "--ranks", 1)
    assert "captions: 3 in" in said
    assert said.count("loading the scripted engine") == 1
    assert set(records(out / "Domain")) == set(records(out / "Caption")) == set(records(out / "Caption" / "score"))
    assert said.index("inferdomain: 0 of 3") < said.index("captionpipeline: 2 of 3") < said.index("inferscore: 0 of 3")


Mistake = Callable[[Path, Path], tuple[list[object], str]]


def _no_folder(photos: Path, out: Path) -> tuple[list[object], str]:
    return [photos / "none", "--output", out], f"input {photos / 'none'}: there is no such file or folder"


def _empty_folder(photos: Path, out: Path) -> tuple[list[object], str]:
    (photos / "empty").mkdir()
    return [photos / "empty", "--output", out], f"input {photos / 'empty'}: is empty"


def _nothing_readable(photos: Path, out: Path) -> tuple[list[object], str]:
    (photos / "notes").mkdir()
    (photos / "notes" / "a.docx").touch()
    told = "none of its 1 files is a picture, a clip or a tar shard"
    return [photos / "notes", "--output", out], f"input {photos / 'notes'}: {told}"


def _a_picture(photos: Path, out: Path) -> tuple[list[object], str]:
    return [photos / "moon.png", "--output", out], f"input {photos / 'moon.png'}: is neither a folder nor"


def _others_folder(photos: Path, out: Path) -> tuple[list[object], str]:
    out.mkdir()
    (out / "thesis.txt").touch()
    return [photos, "--output", out], f"output {out}: holds what this command has not made (such as thesis.txt)"


def _into_the_input(photos: Path, out: Path) -> tuple[list[object], str]:
    return [photos, "--output", photos], f"output {photos}: holds what this command has not made"


def _of_another_input(photos: Path, out: Path) -> tuple[list[object], str]:
    out.mkdir()
    (out / "run.json").write_text('{"input": "/data/cats", "format": "folder"}')
    return [photos, "--output", out], f"output {out}: is made from /data/cats (folder), not from {photos} (folder)"


def _output_is_a_file(photos: Path, out: Path) -> tuple[list[object], str]:
    out.touch()
    return [photos, "--output", out], f"output {out}: is a file; name a folder"


def _own_texts(photos: Path, out: Path) -> tuple[list[object], str]:
    (photos / "moon.txt").write_text("The moon.")
    told = f"1 pictures or clips of {photos} have a .txt of your own beside them: --own-texts keep"
    return [photos, "--output", out, "--export", "txt", "--beside"], told


def _beside_shards(photos: Path, out: Path) -> tuple[list[object], str]:
    pack(photos / "a.tar", photos / "moon.png")
    return [photos / "a.tar", "--output", out, "--export", "txt", "--beside"], f"--beside: {photos / 'a.tar'} holds"


@pytest.mark.parametrize(
    "mistake",
    [
        *(_no_folder, _empty_folder, _nothing_readable, _a_picture, _others_folder, _into_the_input),
        *(_of_another_input, _output_is_a_file, _own_texts, _beside_shards),
    ],
)
def test_a_mistake_is_told_in_a_line_before_anything_is_started(
    photos: Path, tmp_path: Path, run: Runner, mistake: Mistake
) -> None:
    arguments, told = mistake(photos, tmp_path / "out")
    outcome = run.main(run_command.main, *arguments, *SCRIPTED)
    assert outcome.status == 1
    assert len(outcome.errors) == 1
    assert outcome.said.splitlines()[-1].startswith(f"error: {told}"), outcome.said
    assert "route, caption, score" not in outcome.said


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--beside"], "--beside goes with --export txt"),
        (["--export", "txt", "--own-texts", "keep"], "--own-texts goes with --beside"),
        (["--export", "parquet", "--one-line"], "--one-line goes with --export txt"),
        (["--min-overall", "7"], "--min-overall must be from 1 to 5"),
        (["--in-flight", "0"], "--in-flight must be at least 1"),
        (["--ranks", "0"], "--ranks must be at least 1"),
        (["--task", "cooking"], "--task: "),
        (["--claims", "delete"], "--claims"),
        (["--min-claim", "0.5"], "--min-claim goes with --claims"),
    ],
)
def test_flags_that_cannot_be_are_told_at_once(
    photos: Path, tmp_path: Path, run: Runner, flags: list[str], told: str
) -> None:
    outcome = run.main(run_command.main, photos, "--output", tmp_path / "out", *SCRIPTED, *flags)
    assert outcome.status == 2
    assert outcome.said.splitlines()[-1].startswith(f"error: {told}")


def test_one_of_several_processes_of_a_launcher_is_refused(photos: Path, tmp_path: Path, run: Runner) -> None:
    outcome = run.main(run_command.main, photos, "--output", tmp_path / "out", *SCRIPTED, rank=(0, 2))
    assert (outcome.status, outcome.said.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_two_at_a_time_wait_for_each_other(photos: Path, tmp_path: Path) -> None:
    out, log = tmp_path / "out", tmp_path / "log"
    process = start(photos, out, "--in-flight", 4, "--engine-arg", "delay=0.1", log=log)
    deadline = time.monotonic() + 60
    while not (out / "split_plan.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second = done(photos, out)
    assert f"waiting for another process that makes output {out}" in second
    assert process.wait(60) == 0
    assert "loading" not in second
    assert os.path.getsize(log)  # noqa: PTH202


def test_where_nothing_can_be_captioned_the_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"nothing")
    said = done(folder, tmp_path / "out", status=1)
    assert f"failed: media_corrupt: {folder / 'a.png'}" in said
    assert "there is no caption that could be marked" in said.splitlines()[-1]


def test_a_threshold_of_no_dimension_is_told_before_anything_is_made(photos: Path, tmp_path: Path) -> None:
    said = done(photos, tmp_path / "out", "--min-dim-score", "acuracy=4", status=1)
    assert said.count("\n") == 1
    assert "--min-dim-score acuracy: judge.yaml marks accuracy, completeness, " in said
    assert said.endswith("did you mean accuracy?\n")
    assert not (tmp_path / "out").exists()


def test_a_threshold_of_a_dimension_reaches_filter_and_report(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done(photos, out, "--min-dim-score", "accuracy=5")
    summary = json.loads((out / "Caption" / "filtered" / "summary.json").read_text())
    assert summary["thresholds"]["min_dim_score"] == 1
    assert summary["thresholds"]["min_dim_score_of"] == {"accuracy": 5}
    assert summary["kept"] == sum(one["scores"]["accuracy"] == 5 for one in records(out / "Caption" / "score").values())
    assert '"ofDimension":{"accuracy":5}' in (out / "Caption" / "report.html").read_text()


def test_claims_are_checked_and_kept_by(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done(photos, out, "--claims", "check", "--min-claim", "0.5", "--min-overall", "1", "--min-dim-score", "1")
    captions = records(out / "Caption")
    assert all(len(one["claims"]) == 1 for one in captions.values() if one["status"] == "ok")
    summary = json.loads((out / "Caption" / "filtered" / "summary.json").read_text())
    supported = sum(one["claims"][0]["answer"] == "supported" for one in captions.values() if one["status"] == "ok")
    assert summary["kept"] == summary["claims"].get("supported", 0) == supported
    assert '"claim":0.5' in (out / "Caption" / "report.html").read_text()
