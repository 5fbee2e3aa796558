import errno
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path

import pytest

from MetaCaptioner.data.sample import Sample
from MetaCaptioner.errors import ResultError, UserError
from MetaCaptioner.records import rank_lock
from MetaCaptioner.records import store as record_store
from MetaCaptioner.records.done import DoneSamples
from MetaCaptioner.records.journal import Past
from MetaCaptioner.records.rank_lock import ranks_at_work
from MetaCaptioner.records.reader import (
    PlacedRecords,
    ResultName,
    read_places,
    read_records,
    result_files,
    stem_in_names,
)
from MetaCaptioner.records.record import Record, identity, is_error
from MetaCaptioner.records.store import RankResults, rewrite
from MetaCaptioner.utils import locks
from tests.helpers import all_records, fill_disk, make_read_only, records


def record(index: int, status: str = "ok", **fields: object) -> Record:
    return {"sample_id": f"set/{index}", "data_name": "set", "index": index, "status": status, **fields}


def opened(folder: Path, rank: int = 0, node: int = 0, part: int = 0) -> RankResults:
    return RankResults(folder, rank, node, part)


def write(folder: Path, *indices: int, rank: int = 0, node: int = 0, part: int = 0, stem: str = "a") -> Path:
    with opened(folder, rank, node, part) as results:
        for index in indices:
            results.append(stem, record(index))
    return folder / str(ResultName(rank, node, stem, part))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (ResultName(0, 0, "ade"), "Rank0_node0_ade.jsonl"),
        (ResultName(12, 3, "a_b.c-d e"), "Rank12_node3_a_b.c-d e.jsonl"),
        (ResultName(1, 2, "ade", 4), "Rank1_node2_ade~4.jsonl"),
        (ResultName(1, 2, "日本"), "Rank1_node2_日本.jsonl"),
    ],
)
def test_names_of_result_files_can_be_read_back(name: ResultName, text: str) -> None:
    assert str(name) == text
    assert ResultName.parse(text) == name


@pytest.mark.parametrize("stem", ["part~1", "~2", "a~0"])
def test_a_stem_that_looks_like_a_part_is_still_a_stem(tmp_path: Path, stem: str) -> None:
    path = write(tmp_path, 0, stem=stem)
    with path.open("ab") as file:
        file.write(b'{"sample_id": "set/1", "torn')
    with opened(tmp_path) as results:
        assert results.repaired == 1
        results.append(stem, record(1))
    assert [r["index"] for r in all_records(tmp_path)] == [0, 1]


@pytest.mark.parametrize("text", ["Rank0_node0_.jsonl", "Rank_node0_a.jsonl", "Rank0_node0_a.json", "summary.json"])
def test_other_files_are_no_result_files(tmp_path: Path, text: str) -> None:
    assert ResultName.parse(text) is None
    (tmp_path / text).write_text("x")
    assert result_files(tmp_path) == []


def test_files_of_a_rank_are_not_those_of_a_rank_that_begins_like_it(tmp_path: Path) -> None:
    for rank in (1, 10, 11):
        write(tmp_path, rank, rank=rank)
    assert [name.rank for _, name in result_files(tmp_path, 1)] == [1]
    assert len(result_files(tmp_path)) == 3
    assert result_files(tmp_path / "nowhere") == []


def test_the_identity_is_that_of_the_contract() -> None:
    made = Sample("ADE20K", 17, Path("/data"), "a.jpg", "image", "Natural", "metafile", 5)
    fields = identity(made)
    assert fields["sample_id"] == "ADE20K/17"
    assert (fields["data_name"], fields["index"], fields["id"], fields["image"]) == ("ADE20K", 17, 5, "a.jpg")
    assert (fields["modality"], fields["task"], fields["task_source"]) == ("image", "Natural", "metafile")
    assert identity(Sample("v", 0, Path("/"), "a.mp4", "video"))["video"] == "a.mp4"


def test_records_are_appended_as_lines_to_the_file_of_their_annotation(tmp_path: Path) -> None:
    with opened(tmp_path, rank=3, node=1) as results:
        results.append("a", record(0, caption="日本語\nzwei"))
        results.append("b", record(1))
        results.append("a", record(2))
    lines = (tmp_path / "Rank3_node1_a.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 2]
    assert "日本語" in lines[0]
    assert [r["index"] for r in read_records(tmp_path / "Rank3_node1_b.jsonl")] == [1]


def test_a_record_is_on_disk_before_the_file_is_closed(tmp_path: Path) -> None:
    results = opened(tmp_path)
    results.append("a", record(0))
    assert len(all_records(tmp_path)) == 1
    results.close()


@pytest.mark.parametrize("row_id", ["\ud800", "\u2028", 10**30, 1.5, None])
def test_whatever_a_row_has_as_id_can_be_written_and_read_back(tmp_path: Path, row_id: object) -> None:
    with opened(tmp_path) as results:
        results.append("a", record(0, id=row_id))
    assert [r["index"] for r in all_records(tmp_path)] == [0]


# --- recovery


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (lambda content: content[:-1], [0, 1]),
        (lambda content: content[:-20], [0, 1]),
        (lambda content: content + b'{"sample_id": "set/3"', [0, 1, 2]),
        (lambda content: content + b"{", [0, 1, 2]),
        (lambda content: content + b"\0" * 50, [0, 1, 2]),
        (lambda content: content[:-20] + b"\0" * 50, [0, 1]),
        (lambda content: content + b"\0" * 4096 + b'"caption": "of a rec', [0, 1, 2]),
        (lambda content: b"", []),
    ],
    ids=["no newline", "torn", "begun", "just begun", "zeros", "zeros behind", "hole", "empty"],
)
def test_a_last_line_that_a_crash_left_unfinished_is_dropped(
    tmp_path: Path, damage: Callable[[bytes], bytes], kept: list[int]
) -> None:
    path = write(tmp_path, 0, 1, 2)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    with opened(tmp_path) as results:
        done = results.done()
        assert [index for index in range(4) if done.has("set", index)] == kept
        results.append("a", record(3))
    assert [r["index"] for r in all_records(tmp_path)] == [*kept, 3]
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.replace(b'"index": 1,', b'"index": \xff,'), ", line 2: is no record, and not what a"),
        (lambda content: content.replace(b'"index": 1,', b"\n"), ", line 2: is no record"),
        (lambda content: content.replace(b'"index": 1,', b"\0\0"), ", line 2: is no record"),
        (lambda content: b"garbage\n" + content, ", line 1: is no record"),
        (lambda content: content + b"garbage", ", line 4: is no record"),
        (lambda content: content + b'["a", "list"]\n{"no": "sample"}\n', ", line 4: is no record"),
        (lambda content: gzip.compress(content), ": is compressed with gzip, not JSON text; unpack it: gzip"),
        (lambda content: gzip.compress(b"")[:9], ": is compressed with gzip"),
        (lambda content: zlib.compress(content), ", line 1: is no record"),
        (lambda content: content.decode().encode("utf-16"), ": is UTF-16, and must be UTF-8; write it anew: iconv"),
        (lambda content: content.strip().decode().encode("utf-16-be"), ": is UTF-16BE, and must be UTF-8"),
        (
            lambda content: formatted(content, indent=2),
            ": holds no record a line: was it formatted? Write it anew: jq -c .",
        ),
        (lambda content: b"[\n" + formatted(content, indent=2), "jq -c '.[]'"),
        (lambda content: b"[" + content.strip().replace(b"\n", b",\n") + b"]\n", "jq -c '.[]'"),
    ],
)
def test_what_no_crash_leaves_is_refused_and_kept(tmp_path: Path, change: Callable[[bytes], bytes], told: str) -> None:
    path = write(tmp_path, 0, 1, 2)
    path.write_bytes(changed := change(path.read_bytes()))
    for look in (opened, lambda folder: list(read_records(path)), lambda folder: DoneSamples().read(folder, 0)):
        with pytest.raises(ResultError) as raised:
            look(tmp_path)
        assert str(raised.value).startswith(f"result file {path}{told}") or told in str(raised.value)
        assert "\n" not in str(raised.value)
    assert path.read_bytes() == changed
    assert ranks_at_work(tmp_path) == []


@pytest.mark.parametrize("change", ["gzip", "xz", "jq .", "jq -s ."])
def test_the_command_that_is_told_gives_the_records_back(tmp_path: Path, change: str) -> None:
    if shutil.which(change.split()[0]) is None:
        pytest.skip(f"needs {change.split()[0]}")
    folder = tmp_path / "with 'a space"
    folder.mkdir()
    path = write(folder, 0, 1, 2)
    before = list(read_records(path))
    packed = subprocess.run(["bash", "-c", change], stdin=path.open(), capture_output=True, check=True)
    path.write_bytes(packed.stdout)
    with pytest.raises(ResultError, match=r"anew: |unpack it: ") as raised:
        list(read_records(path))
    subprocess.run(["bash", "-c", re.split("anew: |unpack it: ", str(raised.value))[1]], check=True)
    assert list(read_records(path)) == before
    assert [other.name for other, _ in result_files(folder)] == [path.name]


def formatted(content: bytes, indent: int) -> bytes:
    """As jq writes it."""
    return b"".join(json.dumps(json.loads(line), indent=indent).encode() + b"\n" for line in content.splitlines())


def test_empty_lines_hold_nothing_and_stay(tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1)
    path.write_bytes(b"\n" + path.read_bytes() + b"\r\n\n")
    with opened(tmp_path) as results:
        assert results.repaired == 0
        results.append("a", record(2))
    assert [r["index"] for r in read_records(path)] == [0, 1, 2]
    assert [told.index for _, told in read_places(path)] == [0, 1, 2]
    with closing(PlacedRecords()) as placed:
        number = placed.add_file(path)
        found = [placed.read(placed.place(number, offset)) for offset, _ in read_places(path)]
    assert found == [record(0), record(1), record(2)]


@pytest.mark.parametrize("taken_away", ["removed", "moved", "replaced", "lock", "folder"])
def test_a_file_that_goes_while_a_rank_is_at_work_ends_the_rank(tmp_path: Path, taken_away: str) -> None:
    out = tmp_path / "out"
    results = opened(out)
    results.append("a", record(0))
    path = out / "Rank0_node0_a.jsonl"
    if taken_away == "lock":
        (out / ".Rank0.lock").unlink()
    elif taken_away == "folder":
        out.rename(tmp_path / "moved")
    elif taken_away == "removed":
        path.unlink()
    else:
        content = path.read_bytes()
        path.rename(out / "moved")
        if taken_away == "replaced":
            path.write_bytes(content)
    what = ".Rank0.lock was" if taken_away in ("lock", "folder") else "Rank0_node0_a.jsonl: was"
    with pytest.raises(ResultError, match=f"{what} removed or replaced while this rank was at work"):
        results.append("a", record(1))
    with nullcontext() if taken_away == "lock" else pytest.raises(ResultError, match="removed or replaced"):
        results.close()


@pytest.mark.parametrize("stem", ["a\nb", "\n", "a\udcffb", "n" * 240, "é" * 120, "n" * 188 + "~7", "n" * 250 + "~7"])
def test_records_of_whatever_name_are_found_again(tmp_path: Path, stem: str) -> None:
    write(tmp_path, 0, 1, stem=stem, rank=1234567890, node=1234567890, part=1234)
    with RankResults(tmp_path, 1234567890, 5, 0, 1) as results:
        assert results.done().count("set", 0, 9) == 2
    [(path, name)] = result_files(tmp_path)
    assert (name.part, stem_in_names(name.stem), len(os.fsencode(path.name)) <= 255) == (1234, name.stem, True)
    assert rewrite(path, lambda record: record["index"] == 1) == 1


def test_a_result_file_is_on_the_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(record_store, "sync_folder", synced.append)
    write(tmp_path, 0, 1)
    assert synced == [tmp_path]


def test_a_sound_file_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1)
    before = (path.stat().st_ino, path.stat().st_mtime_ns)
    with opened(tmp_path) as results:
        assert results.repaired == 0
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before


def test_a_rank_reads_and_changes_only_its_own_files(tmp_path: Path) -> None:
    write(tmp_path, 0, rank=0)
    other = write(tmp_path, 1, rank=1)
    other.write_bytes(b"torn")
    with opened(tmp_path, rank=0) as results:
        assert not results.done().has("set", 1)
    assert other.read_bytes() == b"torn"


def test_what_the_rank_did_on_another_node_counts(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, node=0)
    with opened(tmp_path, node=5) as results:
        assert results.done().count("set", 0, 10) == 2
        results.append("a", record(2))
    assert set(records(tmp_path)) == {"set/0", "set/1", "set/2"}


def test_what_any_part_did_counts_and_each_changes_its_own(tmp_path: Path) -> None:
    write(tmp_path, 0, part=0)
    write(tmp_path, 1, part=1)
    write(tmp_path, 2, part=3)
    with RankResults(tmp_path, 0, 0, part=1, parts=2) as results:
        assert results.done().count("set", 0, 10) == 3
        assert [path.name for path in results.files()] == ["Rank0_node0_a~1.jsonl", "Rank0_node0_a~3.jsonl"]
    with opened(tmp_path) as results:
        assert len(results.files()) == 3


# --- writing that fails


def test_a_full_disk_takes_back_the_part_of_a_line_that_got_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = opened(tmp_path)
    with monkeypatch.context() as patched:
        fill_disk(patched, whole_lines=2)
        results.append("a", record(0))
        results.append("a", record(1))
        with pytest.raises(ResultError) as raised:
            results.append("a", record(2))
        path = tmp_path / "Rank0_node0_a.jsonl"
        reason = "cannot be written: No space left on device; what it holds is kept"
        assert str(raised.value) == f"result file {path}: {reason}"
        assert [r["index"] for r in all_records(tmp_path)] == [0, 1]
    results.append("a", record(2))
    results.close()
    assert [r["index"] for r in all_records(tmp_path)] == [0, 1, 2]


def test_a_line_written_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all = os.write
    with opened(tmp_path) as results, monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda descriptor, data: write_all(descriptor, data[:10]))
        results.append("a", record(0))
    assert [r["index"] for r in all_records(tmp_path)] == [0]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_only_at_the_end_is_a_result_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Network file systems report a full quota when the file is flushed."""

    def fail(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    results = opened(tmp_path)
    results.append("a", record(0))
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ResultError, match=os.strerror(code)):
        results.close()


def test_an_output_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultError, match=r"output folder .*/file/out: cannot be written: Not a directory"):
        opened(tmp_path / "file" / "out")


def test_a_read_only_output_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    make_read_only(monkeypatch, tmp_path / "out")
    with pytest.raises(ResultError, match=r"output folder .*/out: cannot be written: Read-only file system"):
        opened(tmp_path / "out")


def test_rewriting_on_a_read_only_disk_is_a_result_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, 0, 1)
    make_read_only(monkeypatch, tmp_path)
    with pytest.raises(ResultError, match="cannot be written: Read-only file system"):
        rewrite(path, lambda r: r["index"] == 0)
    assert len(all_records(tmp_path)) == 2


# --- one process a rank


def test_a_rank_is_held_by_one_process_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path, rank=4), pytest.raises(ResultError) as raised:
        opened(tmp_path, rank=4)
    assert str(raised.value).startswith(f"rank 4 is being worked on by another process in {tmp_path}: wait until ")
    with opened(tmp_path, rank=4), opened(tmp_path, rank=5):
        pass


def test_a_rank_held_by_another_process_is_free_once_that_was_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from MetaCaptioner.records.store import RankResults\n"
        "held = RankResults(Path(sys.argv[1]), 0, 0); print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ResultError, match="another process"):
            opened(tmp_path)
        holder.kill()
    opened(tmp_path).close()


def test_a_refused_process_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, 0)
    with opened(tmp_path):
        path.write_bytes(path.read_bytes() + b'{"being written')
        with pytest.raises(ResultError):
            opened(tmp_path)
        assert path.read_bytes().endswith(b"being written")


# --- failures


def test_error_records_are_dropped_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as results:
        results.append("a", record(0))
        results.append("a", record(1, "error", attempts=3))
        results.append("b", record(2, "error"))
    with opened(tmp_path) as results:
        assert results.drop(is_error) == 2
        assert results.done().count("set", 0, 10) == 1
        assert results.drop(is_error) == 0
    assert list(records(tmp_path)) == ["set/0"]


def test_failures_are_taken_out_for_another_try_and_what_they_have_behind_them_outlasts_the_process(
    tmp_path: Path,
) -> None:
    crash = {"error": {"kind": "engine_crash", "message": "…"}}
    with opened(tmp_path) as results:
        results.append("a", record(0))
        results.append("a", record(1, "error", attempts=3))
        results.append("b", record(2, "error", attempts=4, **crash))
    results = opened(tmp_path)
    results.retry(is_error)
    results.lock.close()  # killed
    with opened(tmp_path) as results:
        assert results.done().count("set", 0, 10) == 1
        results.journal.settle(results.done().has, crashed=True)
        assert results.journal.past("set", 1) == Past(attempts=3)
        assert results.journal.past("set", 2) == Past(attempts=4, crashes=2)  # goes alone at once
        results.append("a", record(1))
        assert results.journal.past("set", 1) == Past()


def test_a_rank_whose_last_process_is_still_dying_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_lock, "_LOCK_SECONDS", 20.0)
    holder = opened(tmp_path)
    timer = threading.Timer(0.3, holder.close)
    timer.start()
    opened(tmp_path).close()
    timer.join()


def test_rewrite_tells_how_many_lines_went(tmp_path: Path) -> None:
    path = write(tmp_path, 0, 1, 2, 3)
    assert rewrite(path, lambda r: r["index"] % 2 == 0) == 2
    assert [r["index"] for r in read_records(path)] == [0, 2]


# --- what is done


def test_ranks_at_work_are_told(tmp_path: Path) -> None:
    assert ranks_at_work(tmp_path) == []
    with opened(tmp_path, 3), opened(tmp_path, 12):
        assert ranks_at_work(tmp_path) == [3, 12]
        opened(tmp_path, 4).close()
    assert ranks_at_work(tmp_path) == []


def test_done_samples_are_counted_by_dataset_and_range() -> None:
    done = DoneSamples()
    for index in (0, 5, 5, 1000):
        done.mark("set", index)
    done.mark("other", 3)
    assert [done.has("set", index) for index in (0, 1, 5, 1000, 1001)] == [True, False, True, True, False]
    assert (done.count("set", 0, 2000), done.count("set", 1, 6), done.count("other", 0, 9)) == (3, 1, 1)
    assert not done.has("none", 0)
    assert done.count("none", 0, 9) == 0


@pytest.mark.parametrize("fields", [{"index": -1}, {"index": "1"}, {"data_name": 3}, {"index": None}])
def test_a_record_without_a_sound_identity_counts_for_nothing(tmp_path: Path, fields: Record) -> None:
    (tmp_path / "Rank0_node0_set.jsonl").write_text(f"{json.dumps(record(0) | fields)}\n{json.dumps(record(3))}\n")
    assert DoneSamples().read(tmp_path).count("set", 0, 10) == 1


def test_a_process_that_has_all_of_a_rank_and_one_that_shares_it_exclude_each_other(tmp_path: Path) -> None:
    with RankResults(tmp_path, 0, 0, part=1, parts=2):
        with pytest.raises(ResultError, match="another process"):
            RankResults(tmp_path, 0, 0)
        with pytest.raises(ResultError, match="another process"):
            RankResults(tmp_path, 0, 0, part=1, parts=2)
        RankResults(tmp_path, 0, 0, part=0, parts=2).close()
    with RankResults(tmp_path, 0, 0), pytest.raises(ResultError, match="another process"):
        RankResults(tmp_path, 0, 0, part=1, parts=2)


@pytest.mark.parametrize(("one", "other"), [(2, 4), (4, 2), (2, 3)])
def test_launches_of_other_numbers_of_processes_do_not_share_a_rank(tmp_path: Path, one: int, other: int) -> None:
    """Each has its own idea of which rows are whose, and of whose a part is."""
    with RankResults(tmp_path, 0, 0, part=1, parts=one):
        for part in range(other):
            with pytest.raises(ResultError, match="rank 0 is being worked on by another process"):
                RankResults(tmp_path, 0, 0, part, other)
        RankResults(tmp_path, 0, 0, 0, one).close()
    with RankResults(tmp_path, 0, 0, part=1, parts=other):
        pass


def test_without_locks_a_single_launch_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> int:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks, "_ask", no_locks)
    with pytest.raises(UserError, match=rf"output folder {tmp_path}: .*No locks available.* --single-launch"):
        opened(tmp_path)
    with RankResults(tmp_path, 0, 0, single_launch=True) as results, RankResults(tmp_path, 1, 0, 1, 2, True) as other:
        assert not results.lock.kept
        results.append("a", record(0))
        assert other.told_by_others() == []
