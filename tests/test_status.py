"""The command: its screen, its JSON, its textfile and picture."""

import json
import os
import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from MetaCaptioner import status
from MetaCaptioner.monitor import progress
from MetaCaptioner.monitor.coverage import Count, Oddities
from MetaCaptioner.monitor.progress import Progress, RankProgress
from MetaCaptioner.monitor.screen import screen, svg
from MetaCaptioner.monitor.status_formats import as_json, as_prometheus
from MetaCaptioner.records import growing_file
from MetaCaptioner.records.published_counts import CountsPublisher
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.scan import Found
from MetaCaptioner.records.store import rewrite
from tests.helpers import Runner, make_read_only, picture_rows, plan_row, small_plan, write_annotation, write_plan
from tests.monitor.test_coverage import oks, write
from tests.records.test_scan import failed_record, line, ok_record


def some_progress(ranks: int = 4, datasets: int = 3, kinds: int = 2) -> Progress:
    """A run in which every third rank is silent."""
    errors = {f"kind_{number}": 5 for number in range(kinds)}
    count = Count(1000, 500, errors)
    found = [
        RankProgress(rank, "silent", count, 0.0, None, 400.0)
        if rank % 3 == 2
        else RankProgress(rank, "working", count, 0.5 + rank, 500 / (0.5 + rank), 1.0)
        for rank in range(ranks)
    ]
    named = {f"set [bold]{number}[/bold]": count for number in range(datasets)}
    everything = Count(1000 * datasets, 500 * datasets, dict.fromkeys(errors, 5 * datasets))
    return Progress(1.7e9, everything, 12.5, None, 1000.0, named, found, Oddities(0, 0, 0, 0), ["look [red]here"])


def shown(found: Progress, width: int = 110, height: int = 34) -> str:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(screen(found, Path("Output/Caption"), console))
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_screen_tells_what_one_wants_to_know() -> None:
    text = shown(some_progress())
    for piece in (
        "1,500 of 3,000 samples", "50.0%", "failed 30", "rate now 12.5/s", "overall –", "16 min 40 s",
        "3 working · 1 silent   (ETA: of the others)", "kind_0", "1.00%", "silent", "6 min 40 s", "0.50/s",
        "set [bold]0[/bold]", "note: look [red]here",
    ):  # fmt: skip
        assert piece in text, piece


@pytest.mark.parametrize(("width", "height"), [(110, 34), (80, 40), (200, 24)])
@pytest.mark.parametrize(("ranks", "datasets", "kinds"), [(1, 1, 0), (1024, 500, 40), (12, 3, 2)])
def test_it_is_one_screen_however_much_there_is(width: int, height: int, ranks: int, datasets: int, kinds: int) -> None:
    text = shown(some_progress(ranks, datasets, kinds), width, height)
    lines = text.rstrip("\n").splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= (height if width >= 96 else 2 * height)
    if ranks > 1000:
        assert len(re.findall(r"… and [\d,]+ more", text)) == 4


def test_all_done_and_nothing_to_do() -> None:
    done = RankProgress(0, "done", Count(10, 10, {}), None, None, 5.0)
    empty = RankProgress(1, "done", Count(0, 0, {}), None, None, None)
    found = Progress(1.7e9, Count(10, 10, {}), None, 1.0, None, {}, [done, empty], Oddities(0, 0, 0, 0), [])
    assert "ETA all done" in shown(found)
    assert "100.0%" in shown(found)
    almost = Progress(1.7e9, Count(10**7, 10**7 - 1, {}), None, 1.0, None, {}, [done], Oddities(0, 0, 0, 0), [])
    assert "99.9%" in shown(almost)


def test_the_picture_needs_no_network() -> None:
    picture = svg(some_progress(), Path("Output/Caption"))
    ElementTree.fromstring(picture)
    assert "url(http" not in picture
    assert "3,000" in picture.replace("&#160;", " ")


def test_json_has_all_figures() -> None:
    found = json.loads(json.dumps(as_json(some_progress(ranks=3))))
    counts = {
        "total": 1000,
        "done": 500,
        "ok": 490,
        "failed": 10,
        "without_media": 0,
        "remaining": 500,
        "errors": {"kind_0": 5, "kind_1": 5},
    }
    rank = {"rank": 2, "state": "silent", **counts, "rate": 0.0, "eta_seconds": None, "idle_seconds": 400.0}
    assert found["ranks"][2] == rank
    assert found["datasets"]["set [bold]1[/bold]"] == counts
    assert (found["done"], found["failed"], found["rate"], found["rate_overall"]) == (1500, 30, 12.5, None)
    assert found["standing_still"] == [2]
    assert (found["repeated"], found["notes"]) == (0, ["look [red]here"])


def test_the_textfile_is_what_prometheus_reads() -> None:
    families = list(text_string_to_metric_families(as_prometheus(some_progress(ranks=3)).decode()))
    samples = {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}
    assert samples["metacaptioner_samples", "set [bold]0[/bold]"] == 1000
    assert samples["metacaptioner_samples_ok", "set [bold]0[/bold]"] == 490
    assert samples["metacaptioner_samples_failed", "set [bold]0[/bold]", "kind_1"] == 5
    assert samples["metacaptioner_rank_samples_done", "1"] == 500
    assert samples["metacaptioner_rank_state", "2", "silent"] == 1
    assert samples["metacaptioner_rank_idle_seconds", "2"] == 400
    assert samples["metacaptioner_eta_seconds",] == 1000
    assert samples["metacaptioner_status_timestamp_seconds",] == 1.7e9


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """Ten samples of one rank, of which two have a record."""
    write(tmp_path / "out", 0, *oks(0), failed_record("set", 1))
    annotation = write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 10))
    return write_plan(tmp_path / "plan.jsonl", plan_row(annotation, tmp_path / "media", 0, 10))


def command(plan: Path, *more: object) -> tuple[object, ...]:
    return status.main, "--plan", plan, "--output-dir", plan.parent / "out", *more


def test_one_look(plan: Path, run: Runner) -> None:
    textfile, picture = plan.parent / "node" / "status.prom", plan.parent / "status.svg"
    assert run.main(*command(plan, "--json", "--prometheus", textfile, "--svg", picture)).status == 0
    assert "metacaptioner_samples_ok" in textfile.read_text()
    assert [path.name for path in textfile.parent.iterdir()] == ["status.prom"]
    assert picture.read_text().startswith("<svg")


def test_it_writes_nothing_beside_the_results_and_takes_no_locks(
    plan: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a lock was taken")

    make_read_only(monkeypatch, plan.parent)
    monkeypatch.setattr("fcntl.flock", refused)
    before = sorted((path, path.stat().st_mtime_ns) for path in plan.parent.rglob("*"))
    assert run.main(*command(plan)).status == 0
    assert sorted((path, path.stat().st_mtime_ns) for path in plan.parent.rglob("*")) == before


def looks_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], plan: Path, *between: object
) -> list[dict[str, object]]:
    """What `--json --watch` prints; between looks, records are written or an exception is raised."""
    steps = iter(between)

    def sleep(_: float) -> None:
        step = next(steps)
        if isinstance(step, BaseException):
            raise step
        write(plan.parent / "out", 0, *step)  # type: ignore[misc]

    monkeypatch.setattr(status.time, "sleep", sleep)
    assert status.main([str(part) for part in command(plan, "--json", "--watch", "5")[1:]]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_watching_ends_when_all_is_done(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = looks_of(monkeypatch, capsys, plan, oks(2, 3), [], oks(*range(4, 10)))
    assert [look["done"] for look in found] == [2, 4, 4, 10]
    assert found[-1]["ranks"][0]["state"] == "done"  # type: ignore[index]


def test_watching_ends_with_ctrl_c(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(looks_of(monkeypatch, capsys, plan, oks(2), KeyboardInterrupt())) == 2


def test_bad_arguments(plan: Path, run: Runner) -> None:
    assert run.main(*command(plan, "--watch", "0")).errors == ["error: --watch must be at least 0.1"]
    assert run.main(*command(plan, "--stall-seconds", "nan")).status == 2
    gone = run.main(status.main, "--plan", plan.parent / "none.jsonl", "--output-dir", plan.parent)
    assert (gone.status, len(gone.errors)) == (1, 1)
    textfile = run.main(*command(plan, "--prometheus", plan / "status.prom"))
    assert (textfile.status, len(textfile.errors)) == (1, 1)


def test_a_run_of_the_stage_and_its_log(tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a real rank leaves behind: five samples of six, since it was told so."""
    path = small_plan(tmp_path, 6)
    assert run.caption(path, tmp_path / "out", "--max-samples", "5").status == 0
    looks = progress.Watcher(path, tmp_path / "out", 60, 300)
    [rank] = looks.look().ranks
    assert (rank.state, rank.count.done) == ("ended", 5)
    assert run.caption(path, tmp_path / "out").status == 0
    [rank] = looks.look().ranks
    assert (rank.state, rank.count.done) == ("done", 6)


def published(folder: Path, rank: int) -> None:
    """What a rank publishes of its own files."""
    (folder / "runs").mkdir(exist_ok=True)
    files = [path for path, _ in result_files(folder, rank)]
    CountsPublisher(folder, rank, 0, lambda: files).publish(lambda: False)


def figures_of(plan: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """All that one look tells but the time."""
    assert status.main([str(part) for part in command(plan, "--json")[1:]]) == 0
    found = json.loads(capsys.readouterr().out)
    for rank in found["ranks"]:
        rank["idle_seconds"] = rank["idle_seconds"] is None
    return {name: value for name, value in found.items() if name != "time"}


def test_what_ranks_have_published_changes_nothing_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With failures, samples of several records in and over files, lines that are none, and later changes."""
    out, hidden, lengths = tmp_path / "out", tmp_path / "hidden", list[int]()
    annotation = write_annotation(tmp_path / "set.json", picture_rows(tmp_path / "media", 60))
    shards = [plan_row(annotation, tmp_path / "media", 20 * rank, 20 * rank + 20, rank) for rank in range(3)]
    plan = write_plan(tmp_path / "plan.jsonl", *shards)
    count = growing_file.count_block

    def noted(block: bytes, end: int, found: Found) -> None:
        lengths.append(end)
        count(block, end, found)

    monkeypatch.setattr(growing_file, "count_block", noted)

    def same() -> tuple[int, int]:
        """Bytes that were counted with and without what was published."""
        lengths.clear()
        found, read = figures_of(plan, capsys), sum(lengths)
        (out / "runs").rename(hidden)
        lengths.clear()
        assert found == figures_of(plan, capsys)
        hidden.rename(out / "runs")
        return read, sum(lengths)

    first = write(out, 0, *oks(*range(15)), *(failed_record("set", row, "a") for row in (15, 16, 17, 40)))
    write(out, 0, *oks(3, 3, 15, 45, 99), failed_record("set", 16, "b"), {"sample_id": "stray"}, ok_record("other", 1))
    second = write(out, 1, *oks(*range(20, 40)), failed_record("set", 40, "c"), failed_record("set", 3, "c"))
    third = write(out, 2, failed_record("set", 41, "d"), *oks(40, 42))
    third.write_bytes(b"no record\n" + third.read_bytes())
    for rank in range(3):
        published(out, rank)
    assert same() == (0, sum(path.stat().st_size for path in (first, second, third)))
    with first.open("ab") as file:
        file.write(line(failed_record("set", 17, "e")) + line(ok_record("set", 18))[:-9])
    assert same()[0] == len(line(failed_record("set", 17, "e")))
    os.truncate(second, second.stat().st_size - 1)
    write(out, 2, failed_record("set", 40, "e"), *oks(43))
    read, all_of_it = same()
    assert 0 < read < all_of_it
    published(out, 0)
    third.write_bytes(third.read_bytes().removeprefix(b"no record\n"))
    rewrite(third, lambda record: record["status"] == "ok")
    first.write_bytes(first.read_bytes().replace(b'"ok"', b'"no"', 1))
    os.utime(first, ns=(1, first.stat().st_mtime_ns + 10**6))
    read, all_of_it = same()
    assert 0 < read == all_of_it


def test_watching_goes_on_from_what_was_published(
    plan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published(plan.parent / "out", 0)
    found = looks_of(monkeypatch, capsys, plan, oks(2, 3), [], oks(1, *range(4, 10)))
    assert [(look["done"], look["failed"]) for look in found] == [(2, 1), (4, 1), (4, 1), (10, 0)]
