"""What the filter left, as exports take it: found wherever it is, and refused once it is out of date."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner import filter as filter_command
from MetaCaptioner.export import command as export_command
from MetaCaptioner.records.row_map import caption_hash
from MetaCaptioner.stages import filtering
from tests.helpers import Outcome, Runner, make_read_only, write_lines
from tests.made_records import caption_record, score_record

Do = Callable[..., Outcome]


def write_results(folder: Path, captions: dict[int, str], marks: dict[int, int]) -> None:
    """Captions by row on two ranks, the later rows first, and their scores, all marks the same."""
    for rank, rows in enumerate((list(captions)[::2], list(captions)[1::2])):
        name = f"Rank{rank}_node0_photos.jsonl"
        write_lines(folder / name, [caption_record(row, caption=captions[row]) for row in reversed(rows)])
        scores = [score_record(row) for row in rows if row in marks]
        for score in scores:
            value = marks[score["index"]]
            score |= {"caption_hash": caption_hash(captions[score["index"]]), "overall": float(value)}
            score["scores"] = dict.fromkeys(score["scores"], value)
        write_lines(folder / "score" / name, scores)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Six captions, of which those of the first four rows have good marks."""
    folder = tmp_path / "Caption"
    write_results(folder, {row: f"caption {row}" for row in range(6)}, {0: 5, 1: 5, 2: 4, 3: 4, 4: 2, 5: 2})
    return folder


@pytest.fixture
def do_filter(run: Runner, results: Path) -> Do:
    return lambda *flags: run.main(filter_command.main, "--data-folder", results, *flags)


@pytest.fixture
def do_export(run: Runner, results: Path, tmp_path: Path) -> Do:
    """Exports a row a line, to a place of its own each time."""
    numbers = iter(range(99))

    def do(*flags: object) -> Outcome:
        out = tmp_path / f"out{next(numbers)}"
        return run.main(
            export_command.main, "--data-folder", results, "--format", "jsonl", "--output", out, "--overwrite", *flags
        )

    return do


def exported(tmp_path: Path) -> dict[int, str]:
    """Row -> caption of the last export, in its order."""
    out = max(tmp_path.glob("out*"), key=lambda path: int(path.name[3:]))
    rows = [json.loads(line) for line in (out / "photos.jsonl").read_text().splitlines()]
    return {int(row["sample_id"].split("/")[1]): row["conversations"][1]["value"] for row in rows}


def test_what_is_up_to_date_is_exported_in_order(tmp_path: Path, do_filter: Do, do_export: Do) -> None:
    do_filter()
    outcome = do_export()
    assert (outcome.status, outcome.said.count("\n")) == (0, 1)
    assert list(exported(tmp_path)) == [0, 1, 2, 3]
    assert do_export("--all").status == 0
    assert list(exported(tmp_path)) == [0, 1, 2, 3, 4, 5]


def changed_caption(folder: Path) -> None:
    write_results(folder, {row: f"caption {row}" + "!" * (row == 2) for row in range(6)}, {0: 5, 1: 5, 3: 4, 4: 2})


def changed_marks(folder: Path) -> None:
    write_results(folder, {row: f"caption {row}" for row in range(6)}, {0: 5, 1: 5, 2: 1, 3: 4, 4: 2, 5: 2})


def changed_media(folder: Path) -> None:
    """The row is of another picture by now, of which the same is said; nobody has judged that yet."""
    path = folder / "Rank0_node0_photos.jsonl"
    made = [json.loads(line) for line in path.read_text().splitlines()]
    made[1]["image"] = "other.jpg"  # the rows lie in reverse order
    path.write_text("".join(json.dumps(record) + "\n" for record in made))


def gone(folder: Path) -> None:
    write_results(folder, {row: f"caption {row}" for row in range(6) if row != 2}, {0: 5, 1: 5, 3: 4, 4: 2, 5: 2})


@pytest.mark.parametrize("change", [changed_caption, changed_marks, changed_media, gone])
def test_what_is_out_of_date_is_refused(
    tmp_path: Path, results: Path, do_filter: Do, do_export: Do, change: Callable[[Path], None]
) -> None:
    do_filter()
    change(results)
    outcome = do_export()
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert f"1 of its captions are not what {results} holds now (first: photos/2): filter again, or" in outcome.said
    assert not list(tmp_path.glob("out*"))
    outcome = do_export("--stale")
    assert outcome.status == 0
    assert "note: 1 captions or their marks have changed since they were filtered (first: photos/2)" in outcome.said
    assert exported(tmp_path)[2] == "caption 2"
    account = json.loads((tmp_path / "out1" / "export.json").read_text())
    assert account["notes"]["captions or their marks have changed since they were filtered"] == 1
    do_filter()
    assert do_export().status == 0
    assert 2 not in exported(tmp_path)


def test_what_the_filter_has_not_seen_is_told(results: Path, do_filter: Do, do_export: Do) -> None:
    do_filter()
    write_results(results, {row: f"caption {row}" for row in range(8)}, {0: 5, 1: 5, 2: 4, 3: 4, 4: 2, 5: 4})
    outcome = do_export()
    assert outcome.status == 0
    assert "note: 3 captions that the filter has not seen as they are now are not among them" in outcome.said


def test_another_place_is_found(tmp_path: Path, results: Path, do_filter: Do, do_export: Do) -> None:
    do_filter()
    strict, usual = tmp_path / "strict", results / "filtered"
    do_filter("--output-dir", strict, "--min-overall", "5")
    outcome = do_export()
    assert f"takes {strict}/kept.jsonl" in outcome.said
    assert "which the filter kept (min_overall 5.0" in outcome.said
    assert list(exported(tmp_path)) == [0, 1]
    do_export("--filtered", usual)
    assert list(exported(tmp_path)) == [0, 1, 2, 3]
    do_filter()  # the last counts
    do_export()
    assert list(exported(tmp_path)) == [0, 1, 2, 3]


def test_results_may_be_moved_with_what_was_filtered(tmp_path: Path, results: Path, do_filter: Do, run: Runner) -> None:
    do_filter("--output-dir", tmp_path / "strict", "--min-overall", "5")
    (tmp_path / "moved").mkdir()
    for folder in (results, tmp_path / "strict"):
        shutil.move(folder, tmp_path / "moved" / folder.name)
    flags = ("--data-folder", tmp_path / "moved" / "Caption", "--format", "jsonl", "--output", tmp_path / "out0")
    assert run.main(export_command.main, *flags).status == 0
    assert list(exported(tmp_path)) == [0, 1]


def test_results_that_cannot_be_written_are_filtered_all_the_same(
    tmp_path: Path, results: Path, do_filter: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_read_only(monkeypatch, results)
    outcome = do_filter("--output-dir", tmp_path / "strict")
    assert outcome.status == 0
    assert (
        f"note: {results} cannot be written; name this folder to exports: --filtered {tmp_path}/strict" in outcome.said
    )


def test_a_filter_that_was_cut_off_is_refused(
    tmp_path: Path, results: Path, do_filter: Do, do_export: Do, monkeypatch: pytest.MonkeyPatch
) -> None:
    do_filter()

    def cut_off(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(filtering.Summary, "content", cut_off)
        assert do_filter("--min-overall", "5").status == 3
    outcome = do_export()
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "summary.json: is missing, so the filter was cut off: filter again" in outcome.said


def test_without_results_it_is_told_that_nothing_was_compared(results: Path, do_filter: Do, do_export: Do) -> None:
    do_filter()
    for path in results.glob("Rank*"):
        path.unlink()
    outcome = do_export()
    assert outcome.status == 0
    assert "note: " in outcome.said
    assert "whether" in outcome.said


def test_scores_that_lie_elsewhere_are_found(tmp_path: Path, results: Path, do_filter: Do, do_export: Do) -> None:
    shutil.move(results / "score", tmp_path / "scores")
    do_filter("--score-folder", tmp_path / "scores")
    assert do_export().status == 0
    changed_marks(results)
    shutil.rmtree(tmp_path / "scores")
    shutil.move(results / "score", tmp_path / "scores")
    assert do_export().status == 1


def test_a_pointer_that_cannot_be_read_is_told(results: Path, do_filter: Do, do_export: Do) -> None:
    do_filter()
    (results / ".filtered.json").write_text("[]")
    outcome = do_export()
    assert (outcome.status, outcome.said.count("\n")) == (1, 1)
    assert "name the folder by --filtered" in outcome.said
