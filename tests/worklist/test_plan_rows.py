import asyncio
import json
import threading
import unicodedata
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.data.media_source import LONGEST_PATH, TarPlace
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.engine.base import Request
from MetaCaptioner.errors import EngineDead
from MetaCaptioner.records import growing_file
from MetaCaptioner.records.caption_records import sample_from_record
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.reader import result_files
from MetaCaptioner.records.record import identity
from MetaCaptioner.runtime.rank import Rank
from MetaCaptioner.verify import main as verify
from MetaCaptioner.worklist.earlier_captions import caption_shares
from tests.helpers import (
    FakeEngine,
    Runner,
    error_kinds,
    names,
    picture_rows,
    plan_row,
    records,
    sample_of,
    small_plan,
    write_annotation,
    write_plan,
)


def two_datasets(folder: Path) -> tuple[Path, Path, Path]:
    """(first annotation, second annotation, root): two datasets of four pictures each."""
    root = folder / "media"
    rows = picture_rows(root, 4)
    return write_annotation(folder / "one.json", rows), write_annotation(folder / "two.json", rows), root


# --- plans that are wrong


@pytest.mark.parametrize(("start", "end", "left"), [(2, 9, 2), (4, 9, 0), (50, 60, 0)])
def test_a_row_out_of_range_is_one_line_and_the_rest_is_done(
    tmp_path: Path, run: Runner, start: int, end: int, left: int
) -> None:
    one, two, root = two_datasets(tmp_path)
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(one, root, start, end), plan_row(two, root, 0, 4))
    outcome = run.caption(plan, tmp_path / "out")
    assert outcome.status == 1
    assert outcome.errors == [
        f"error: rank 0: plan row one [{start}, {end}) is out of range: {one} has 4 rows; "
        "rows beyond are left out (plan again)"
    ]
    assert set(records(tmp_path / "out")) == names(4, "two") | {f"one/{n}" for n in range(start, start + left)}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "No such file or directory"), (b"", "is empty"), (b'[{"id": 0}, {"id"', "row 1 is broken at byte")],
    ids=["missing", "empty", "truncated"],
)
def test_a_row_whose_file_cannot_be_used_is_one_line_and_the_rest_is_done(
    tmp_path: Path, run: Runner, content: bytes | None, complaint: str
) -> None:
    one, two, root = two_datasets(tmp_path)
    one.unlink()
    if content is not None:
        one.write_bytes(content)
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(one, root, 0, 4), plan_row(two, root, 0, 4))
    outcome = run.caption(plan, tmp_path / "out")
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: rank 0: plan row one [0, 4) is left out: annotation file {one}: ")
    assert complaint in error
    assert set(records(tmp_path / "out")) == names(4, "two")
    assert run.caption(plan, tmp_path / "out", engine_opens=False).status == 1


@pytest.mark.parametrize("line", ["no json at all", '{"data_name": "one"', '{"data_name": "one"}', "reversed"])
def test_a_broken_line_of_the_plan_is_one_line_and_the_rest_is_done(tmp_path: Path, run: Runner, line: str) -> None:
    one, two, root = two_datasets(tmp_path)
    broken = json.dumps(plan_row(one, root, 4, 0)) if line == "reversed" else line
    plan = write_plan(tmp_path / "plan.jsonl", broken, plan_row(two, root, 0, 4))
    outcome = run.caption(plan, tmp_path / "out")
    assert outcome.status == 1
    [error] = outcome.errors
    assert error.startswith(f"error: rank 0: plan {plan}: line 1: ")
    assert set(records(tmp_path / "out")) == names(4, "two")


def test_overlapping_rows_of_a_rank_give_one_record_a_sample(tmp_path: Path, run: Runner) -> None:
    one, _, root = two_datasets(tmp_path)
    rows = [plan_row(one, root, start, end) for start, end in ((0, 3), (1, 4), (0, 4), (2, 2))]
    engine = FakeEngine()
    outcome = run.caption(write_plan(tmp_path / "plan.jsonl", *rows), tmp_path / "out", engine=engine)
    assert outcome.status == 0
    assert set(records(tmp_path / "out")) == names(4, "one")
    run.caption(tmp_path / "plan.jsonl", tmp_path / "out", engine_opens=False)


@pytest.mark.parametrize("world_size", [1, 2])
def test_overlapping_rows_of_two_ranks_give_one_record_a_sample(tmp_path: Path, run: Runner, world_size: int) -> None:
    one, _, root = two_datasets(tmp_path)
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(one, root, 0, 3, 0), plan_row(one, root, 1, 4, 1))
    for rank in range(world_size):
        run.caption(plan, tmp_path / "out", rank=(rank, world_size))
    assert set(records(tmp_path / "out")) == names(4, "one")


# --- roots


def test_a_root_that_is_none_is_found_before_the_engine_is_opened(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path, root=str(tmp_path / "nowhere"))
    outcome = run.caption(plan, tmp_path / "out", engine_opens=False)
    assert outcome.status == 1
    assert outcome.errors == [f"error: rank 0: dataset 'set': root {tmp_path / 'nowhere'} is not a folder"]


def test_a_wrong_root_is_found_before_the_engine_is_opened(tmp_path: Path, run: Runner) -> None:
    (tmp_path / "other").mkdir()
    plan = small_plan(tmp_path, root=str(tmp_path / "other"))
    outcome = run.caption(plan, tmp_path / "out", engine_opens=False)
    assert outcome.status == 1
    [error] = outcome.errors
    assert f"dataset 'set': root {tmp_path / 'other'} looks wrong" in error
    assert str(tmp_path / "other" / "0.png") in error
    assert records(tmp_path / "out") == {}


def test_a_wrong_root_is_told_with_what_may_have_been_meant(tmp_path: Path, run: Runner) -> None:
    rows = [{"id": n, "image": f"media/{n}.png"} for n in range(4)]
    picture_rows(tmp_path / "media", 4)
    [error] = run.caption(small_plan(tmp_path, rows), tmp_path / "out", engine_opens=False).errors
    assert f"(such as {tmp_path}/media/media/0.png: the root ends with 'media' already, take it from one of" in error


def test_names_of_other_systems_are_found_and_kept_as_the_row_has_them(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 4)
    composed, decomposed = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
    (tmp_path / "media" / "sub").mkdir()
    (tmp_path / "media" / "0.png").rename(tmp_path / "media" / composed)
    (tmp_path / "media" / "1.png").rename(tmp_path / "media" / "sub" / "1.png")
    (tmp_path / "media" / "2.png").rename(tmp_path / "media" / "two.PNG")
    for row, name in zip(rows, (decomposed, "sub\\1.png", "two.png"), strict=False):
        row["image"] = name
    assert run.caption(small_plan(tmp_path, rows), tmp_path / "out").status == 0
    found = records(tmp_path / "out")
    assert [found[f"set/{n}"]["image"] for n in range(4)] == [decomposed, "sub\\1.png", "two.png", "3.png"]
    assert error_kinds(tmp_path / "out") == {"set/2": "media_missing"}
    assert "upper and lower case differ" in found["set/2"]["error"]["message"]


def test_a_wrong_root_does_not_matter_once_all_is_done(tmp_path: Path, run: Runner) -> None:
    plan = small_plan(tmp_path)
    run.caption(plan, tmp_path / "out")
    (tmp_path / "media").rename(tmp_path / "moved")
    assert run.caption(plan, tmp_path / "out", engine_opens=False).status == 0


def test_many_missing_files_at_the_start_do_not_make_a_root_wrong(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 50)
    for number in range(25):
        (tmp_path / "media" / f"{number}.png").unlink()
    assert run.caption(small_plan(tmp_path, rows), tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out") == {f"set/{number}": "media_missing" for number in range(25)}
    assert len(records(tmp_path / "out")) == 50


@pytest.mark.parametrize("name", ["x" * 300, "\ud800.jpg", "a/" * 3000, "0.png/x"])
def test_a_name_that_no_file_can_have_costs_its_own_sample(tmp_path: Path, run: Runner, name: str) -> None:
    rows = [{"id": "x", "image": name}, *picture_rows(tmp_path / "media", 2)]
    (tmp_path / "media" / "0.png").touch()
    annotation = tmp_path / "set.json"
    annotation.write_text(json.dumps(rows))
    plan = write_plan(tmp_path / "plan.jsonl", plan_row(annotation, tmp_path / "media", 0, 3))
    assert run.caption(plan, tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out") == {"set/0": "bad_row" if len(name) > LONGEST_PATH else "media_missing"}
    assert set(records(tmp_path / "out")) == names(3)


# --- captions as work


@pytest.mark.parametrize("world_size", range(1, 9))
@pytest.mark.parametrize("caption_ranks", [[0], [0, 1], [2, 5, 9], [0, 1, 2, 3], [7, 7, 3], list(range(6)), []])
def test_shares_of_captions_cover_each_once(world_size: int, caption_ranks: list[int]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    for rank in range(world_size):
        for caption_rank, (turn, processes) in caption_shares(Rank(rank, world_size), caption_ranks).items():
            taken.update((caption_rank, number) for number in range(20) if number % processes == turn)
    assert taken == Counter((caption_rank, number) for caption_rank in set(caption_ranks) for number in range(20))


def test_more_processes_than_caption_ranks_all_have_work() -> None:
    for world_size in range(3, 9):
        for rank in range(world_size):
            [(turn, processes)] = caption_shares(Rank(rank, world_size), [0, 1, 2]).values()
            assert len(range(turn, 20, processes)) - 20 // processes in (0, 1)


def test_a_caption_record_is_a_sample_again() -> None:
    made = sample_from_record(
        {"sample_id": "a/3", "data_name": "a", "index": 3, "id": "x", "video": "b.mp4", "root": "/data"}
        | {"modality": "video", "task": "Video & Temporal", "task_source": "router", "caption": "A {clip}."}
    )
    assert (made.sample_id, made.source.path, made.modality) == ("a/3", Path("/data/b.mp4"), "video")
    assert (made.task, made.task_source, made.row_id) == ("Video & Temporal", "router", "x")
    assert made.fields == {"caption": "A {clip}."}


def test_a_caption_record_of_a_member_of_a_tar_is_its_sample_again() -> None:
    tar = TarPlace("sub/a.tar", 1024, 9)
    sample = Sample("a", 3, Path("/data"), "b.jpg", "image", task="Natural", task_source="row", row_id="x", tar=tar)
    record = json.loads(json.dumps(identity(sample) | {"caption": "A."}))
    assert sample_from_record(record) == replace(sample, fields={"caption": "A."})


def test_retrying_errors_takes_out_only_what_the_plan_does_again(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 6)
    for number in (1, 4):
        (tmp_path / "media" / f"{number}.png").unlink()
    plan, out = small_plan(tmp_path, rows), tmp_path / "out"
    run.caption(plan, out)
    annotation = tmp_path / "set.json"
    half = write_plan(tmp_path / "half.jsonl", plan_row(annotation, tmp_path / "media", 0, 3))
    assert run.caption(half, out, "--retry-errors", "--adopt-plan").status == 0
    found = records(out)
    assert set(found) == names(6)
    assert (found["set/1"]["attempts"], found["set/4"]["attempts"]) == (2, 1)


def test_a_shard_of_missing_files_does_not_make_a_root_wrong(tmp_path: Path, run: Runner) -> None:
    rows = picture_rows(tmp_path / "media", 8)
    for number in (3, 4):
        (tmp_path / "media" / f"{number}.png").unlink()
    small_plan(tmp_path, rows)
    plan = write_plan(tmp_path / "gap.jsonl", plan_row(tmp_path / "set.json", tmp_path / "media", 3, 5))
    assert run.caption(plan, tmp_path / "out").status == 0
    assert error_kinds(tmp_path / "out") == {"set/3": "media_missing", "set/4": "media_missing"}


# --- taking over from slower ranks


def plan_of_two_ranks(folder: Path, each: int = 6) -> Path:
    root = folder / "media"
    annotation = write_annotation(folder / "one.json", picture_rows(root, 2 * each))
    rows = (plan_row(annotation, root, rank * each, (rank + 1) * each, rank) for rank in range(2))
    return write_plan(folder / "plan.jsonl", *rows)


def by_rank(folder: Path) -> Counter[str]:
    return Counter(
        {path.name.partition("_")[0]: len(path.read_text().splitlines()) for path, _ in result_files(folder)}
    )


def test_a_rank_that_is_done_takes_over_what_another_has_not_begun(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    outcome = run.caption(plan, output, "--takeover-chunk", "2", rank=(0, 2))
    assert outcome.status == 0
    assert "took over 6 samples of slower ranks" in outcome.said
    assert set(records(output)) == names(12, "one")
    assert by_rank(output) == {"Rank0": 12}
    assert run.caption(plan, output, "--takeover-chunk", "2", rank=(1, 2), engine_opens=False).status == 0
    assert run.caption(plan, output, "--takeover-chunk", "2", rank=(0, 2), engine_opens=False).status == 0
    assert run.main(verify, "--plan", plan, "--data-folder", output).status == 0


def test_nothing_is_taken_over_before_half_of_the_own_samples_are_done(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    done_before: list[int] = []

    async def slowly(request: Request) -> None:
        if int(sample_of(request).removeprefix("one/")) >= 6:
            done_before.append(len(records(output)))
        await asyncio.sleep(0.02)

    more = ("--takeover-chunk", "2", "--in-flight", "64")
    assert run.caption(plan, output, *more, rank=(0, 2), engine=FakeEngine(slowly)).status == 0
    assert set(records(output)) == names(12, "one")
    assert done_before[0] >= 3


def test_what_a_rank_has_begun_stays_its_own(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path, each=20), tmp_path / "out"

    dead: list[str] = []

    def die(request: Request) -> None:
        if request.request_id.startswith("one/23/") or dead:
            dead.append(request.request_id)
            raise EngineDead("gone")

    # The second dies at its fourth sample and has opened a few more; the first does all that it has not.
    more = ("--takeover-chunk", "2", "--in-flight", "1", "--decode-threads", "1")
    assert run.caption(plan, output, *more, rank=(1, 2), engine=FakeEngine(die)).status != 0
    begun = set(records(output))
    assert begun == {"one/20", "one/21", "one/22"}
    assert run.caption(plan, output, *more, rank=(0, 2)).status == 0
    missing = names(40, "one") - set(records(output))
    assert "one/23" in missing
    assert missing <= {f"one/{number}" for number in range(23, 30)}
    assert by_rank(output) == {"Rank0": 40 - len(begun) - len(missing), "Rank1": len(begun)}
    assert run.caption(plan, output, *more, rank=(1, 2)).status == 0
    assert set(records(output)) == names(40, "one")


def test_results_of_runs_without_claims_are_gone_on_with_by_their_rank(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, "--takeover-chunk", "0", "--max-samples", "2", rank=(1, 2)).status == 0
    [first] = records(output)  # its share of the two
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(0, 2)).status == 0
    assert names(12, "one") - set(records(output)) == {"one/7", "one/8"}
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(1, 2)).status == 0
    assert set(records(output)) == names(12, "one")
    assert by_rank(output) == {"Rank0": 9, "Rank1": 3}
    assert first == "one/6"


def test_what_a_rank_has_published_spares_reading_its_files(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, "--takeover-chunk", "0", "--max-samples", "2", rank=(1, 2)).status == 0
    read: list[bytes] = []
    count = growing_file.count_block

    def counting(block: bytes, *more: Any) -> None:
        read.append(block)
        count(block, *more)

    monkeypatch.setattr(growing_file, "count_block", counting)
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(0, 2)).status == 0
    assert names(12, "one") - set(records(output)) == {"one/7", "one/8"}
    assert not any(b'"one/6"' in block for block in read)


def test_what_is_wrongly_said_to_be_begun_is_done_by_its_rank(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, "--takeover-chunk", "0", "--max-samples", "2", rank=(1, 2)).status == 0
    published = output / "runs" / "Rank1_node0.counts.json"
    said = json.loads(published.read_text())
    [of_file] = said["files"].values()
    of_file["datasets"]["one"]["done"] = [6, 12]
    published.write_text(json.dumps(said))
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(0, 2)).status == 0
    assert set(records(output)) == names(7, "one")
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(1, 2)).status == 0
    assert set(records(output)) == names(12, "one")


@pytest.mark.parametrize("flags", [("--takeover-chunk", "0"), ("--max-samples", "100")])
def test_ranks_keep_to_the_plan_if_told_and_in_trials(tmp_path: Path, run: Runner, flags: tuple[str, str]) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, *flags, rank=(0, 2)).status == 0
    assert set(records(output)) == names(6, "one")
    assert not (output / "claims").exists()


@pytest.mark.parametrize("flags", [("--takeover-chunk", "0"), ("--max-samples", "100")])
def test_what_was_taken_over_is_not_done_again_without_the_flag(
    tmp_path: Path, run: Runner, flags: tuple[str, str]
) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, "--takeover-chunk", "2", rank=(0, 2)).status == 0
    assert run.caption(plan, output, *flags, rank=(1, 2), engine_opens=False).status == 0
    assert set(records(output)) == names(12, "one")


def test_failures_that_were_taken_over_are_tried_again_by_who_took_them(tmp_path: Path, run: Runner) -> None:
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    picture = tmp_path / "media" / "8.png"
    kept = picture.read_bytes()
    picture.unlink()
    assert run.caption(plan, output, "--takeover-chunk", "2", rank=(0, 2)).status == 0
    assert error_kinds(output) == {"one/8": "media_missing"}
    picture.write_bytes(kept)
    more = ("--takeover-chunk", "2", "--retry-errors")
    assert run.caption(plan, output, *more, rank=(1, 2), engine_opens=False).status == 0
    assert run.caption(plan, output, *more, rank=(0, 2)).status == 0
    assert error_kinds(output) == {}
    assert by_rank(output) == {"Rank0": 12}


def test_other_ranks_are_looked_at_beside_the_event_loop(
    tmp_path: Path, run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    read = DoneSamples.read

    def noted(self: DoneSamples, folder: Path, rank: int | None = None) -> DoneSamples:
        if rank == 1:  # another's
            threads.append(threading.current_thread())
        return read(self, folder, rank)

    monkeypatch.setattr(DoneSamples, "read", noted)
    plan, output = plan_of_two_ranks(tmp_path), tmp_path / "out"
    assert run.caption(plan, output, "--takeover-chunk", "3", rank=(0, 2)).status == 0
    assert set(records(output)) == names(12, "one")
    assert threads
    assert threading.main_thread() not in threads
