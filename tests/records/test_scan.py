"""Counting growing result files without parsing what is ok must come to the same as parsing every line."""

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records import counts, scan
from MetaCaptioner.records.counts import BegunRows, RecordCounts, recorded_rows
from MetaCaptioner.records.record import Told, glance, parse_record
from MetaCaptioner.records.scan import OK, OTHER_KINDS, Found, read_on

NAMES = ["set", "ADE 20K", 'a "quoted" name', "with/slash", "Überall", "日本", "back\\slash", "tab\tname"]
TEXTS = [
    "A plain caption.",
    '"status": "error"',
    '{"sample_id": "set/1", "data_name": "set", "index": 1, "status": "error", "error": {"kind": "fake"}}\n',
    '", "status": "error", "error": {"kind": "fake", "message": "',
    '\\", "status": "ok", "x": "',
    "\\",
    '\\"status\\": \\"error\\"',
    "éclair 日本 \u2028 \x00 \x1f \x7f",
    '"status": "ok"' * 3,
    "}\n{",
]


def ok_record(name: str, index: int, text: str = "A caption.", **more: Any) -> dict[str, Any]:
    """A record as the rank loop writes it."""
    identity = {"sample_id": f"{name}/{index}", "data_name": name, "index": index, "id": index, "image": text}
    fields = {"task": "Natural", "status": "ok", "caption": text, "agents": {"status": {"text": text}}}
    return {**identity, **fields, **more}


def failed_record(name: str, index: int, kind: str = "media_missing", text: str = "gone") -> dict[str, Any]:
    record = ok_record(name, index, text, status="error", error={"kind": kind, "message": text})
    return {key: value for key, value in record.items() if key not in ("caption", "agents")}


def line(record: object) -> bytes:
    """As `RankResults.append` writes it."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace") + b"\n"


def result_file(folder: Path, *records: object, rank: int = 0) -> Path:
    path = folder / f"Rank{rank}_node0_set.jsonl"
    path.write_bytes(b"".join(record if isinstance(record, bytes) else line(record) for record in records))
    return path


def read(path: Path) -> Found:
    reading = read_on((path, None))
    assert reading is not None
    return reading.found


def samples(found: Found) -> list[tuple[str, int, str]]:
    """(dataset, row, "ok" or the kind of error) of every record found."""
    kinds = ["", *found.kinds.names()]
    return sorted(
        (piece.data_name, row, "ok" if ending == OK else kinds[ending])
        for piece in found.pieces
        for row, ending in zip(piece.rows.tolist(), piece.endings.tolist(), strict=True)
    )


def parsed(content: bytes) -> list[tuple[str, int, str]]:
    """The same by parsing every line."""
    found = []
    for one in content.splitlines(keepends=True) if b"\r" not in content else []:
        record = parse_record(one)
        if record is not None:
            ending = "ok" if record["status"] == "ok" else record["error"]["kind"]
            found.append((record["data_name"], record["index"], ending))
    return sorted(found)


@pytest.fixture(params=[2**20, 300])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in one block, and in blocks that are shorter than some lines."""
    monkeypatch.setattr(scan, "_BLOCK_BYTES", request.param)


def random_records(seed: int, count: int) -> list[dict[str, Any]]:
    chosen = random.Random(seed)
    records = []
    for index in range(count):
        name, text = chosen.choice(NAMES), chosen.choice(TEXTS) * chosen.choice([1, 1, 1, 20])
        failed = chosen.random() < 0.2
        row = index if chosen.random() < 0.9 else 123_456_789 + index
        records.append(failed_record(name, row, f"kind {index % 5}", text) if failed else ok_record(name, row, text))
    return records


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("seed", range(4))
def test_what_models_write_does_not_deceive(tmp_path: Path, seed: int) -> None:
    path = result_file(tmp_path, *random_records(seed, 300))
    found = read(path)
    assert samples(found) == parsed(path.read_bytes())
    assert (found.broken, found.strays) == (0, 0)


def test_only_failures_and_one_line_of_a_dataset_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[bytes] = []

    def noted(one: bytes) -> Told | None:
        looked_at.append(one)
        return glance(one)

    monkeypatch.setattr(scan, "glance", noted)
    found = read(result_file(tmp_path, *(ok_record("set", index) for index in range(1000)), failed_record("set", 1000)))
    assert len(samples(found)) == 1001
    assert looked_at == [line(ok_record("set", 0))]


def test_lines_that_this_program_does_not_write(tmp_path: Path) -> None:
    compact = json.dumps(ok_record("set", 1), separators=(",", ":")).encode() + b"\n"
    compact_failure = json.dumps(failed_record("set", 2), separators=(",", ":")).encode() + b"\n"
    other_order = line(dict(reversed(ok_record("set", 3).items())))
    no_status = line({"sample_id": "set/4", "data_name": "set", "index": 4})
    odd_error = line(ok_record("set", 5, status="error", error="just text"))
    other_status = line(ok_record("set", 6, status="skipped"))
    other_identity = line(ok_record("set", 7) | {"sample_id": "elsewhere/1"})
    found = read(
        result_file(
            tmp_path,
            ok_record("set", 0),
            compact,
            compact_failure,
            other_order,
            no_status,
            odd_error,
            other_status,
            other_identity,
        )
    )
    endings = ["ok", "ok", "media_missing", "ok", "unknown", "unknown", "unknown", "ok"]
    assert samples(found) == [("set", row, ending) for row, ending in enumerate(endings)]


def test_lines_that_are_no_records_or_of_no_row(tmp_path: Path) -> None:
    torn_inside = line(ok_record("set", 1))[:40] + line(ok_record("set", 2))
    unfinished = b'{"sample_id": "set/9", "data_name": "set", "index": 9, }\n'
    broken = [b"\n", b"}\n", b"\x00" * 50 + b"\n", unfinished, torn_inside]
    strays = [{"sample_id": "x", "status": "ok"}, ok_record("set", -1), ok_record("set", 2**40)]
    found = read(result_file(tmp_path, ok_record("set", 0), *broken, *strays, ok_record("set", 3)))
    assert samples(found) == [("set", 0, "ok"), ("set", 3, "ok")]
    assert (found.broken, found.strays) == (len(broken), len(strays))


@pytest.mark.usefixtures("_blocks")
def test_a_file_that_grows_at_any_byte_is_counted_to_its_last_whole_line(tmp_path: Path) -> None:
    content = b"".join(map(line, random_records(9, 60)))
    path, place, found = tmp_path / "Rank0_node0_set.jsonl", None, Found()
    chosen, written = random.Random(1), 0
    path.touch()
    while written < len(content):
        step = chosen.randint(1, 900)
        with path.open("ab") as file:
            file.write(content[written : written + step])
        written += step
        reading = read_on((path, place))
        assert reading is not None
        assert reading.anew == (place is None)
        place = reading.place
        found.add(reading.found)
        assert samples(found) == parsed(content[:written])
    assert read_on((path, place)) is None


def changed(path: Path, content: bytes, in_place: bool) -> None:
    if in_place:
        path.write_bytes(content)
    else:
        other = path.with_name("other")
        other.write_bytes(content)
        other.replace(path)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("more", [-1, 0, 5])
def test_a_file_that_changed_otherwise_than_by_growing_is_read_anew(tmp_path: Path, in_place: bool, more: int) -> None:
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 20)))
    first = read_on((path, None))
    assert first is not None
    rewritten = [failed_record("set", index) if index == 15 else ok_record("set", index) for index in range(10, 20)]
    lines = [*map(line, rewritten)] + [line(ok_record("set", 20 + index)) for index in range(more)]
    content = b"".join(lines[:more] if more < 0 else lines)
    content += b" " * max(0, first.place.size - len(content)) if more == 0 and first.place else b""
    changed(path, content, in_place)
    os.utime(path, ns=(1, first.place.changed_ns + 1 if first.place else 0))
    again = read_on((path, first.place))
    assert again is not None
    assert again.anew
    assert samples(again.found) == parsed(content)


def test_a_change_in_the_middle_of_a_file_of_the_same_size_is_seen(tmp_path: Path) -> None:
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 20)))
    first = read_on((path, None))
    assert first is not None
    assert first.place is not None
    path.write_bytes(path.read_bytes().replace(b"set/12", b"set/92").replace(b'"index": 12', b'"index": 92'))
    os.utime(path, ns=(1, first.place.changed_ns + 1))
    again = read_on((path, first.place))
    assert again is not None
    assert ("set", 92, "ok") in samples(again.found)
    assert len(samples(again.found)) == 10


def test_a_torn_line_that_is_cut_off_and_redone_goes_on_or_is_read_anew(tmp_path: Path) -> None:
    whole = b"".join(line(ok_record("set", index)) for index in range(5))
    path = tmp_path / "Rank0_node0_set.jsonl"
    path.write_bytes(whole + line(ok_record("set", 5))[:30])
    counted = RecordCounts(tmp_path)
    counted.look()
    os.truncate(path, len(whole))
    counted.look()
    with path.open("ab") as file:
        file.write(line(failed_record("set", 5)))
    counted.look()
    assert samples(counted.files[path].found) == parsed(path.read_bytes())


def test_files_that_come_and_go(tmp_path: Path) -> None:
    counted = RecordCounts(tmp_path / "results")
    assert counted.look() == []
    (tmp_path / "results").mkdir()
    first = result_file(tmp_path / "results", ok_record("set", 0), failed_record("set", 1, "a"))
    assert [(change.file.rank, change.anew) for change in counted.look()] == [(0, False)]
    result_file(tmp_path / "results", failed_record("set", 2, "b"), rank=1)
    assert [(change.file.rank, change.anew) for change in counted.look()] == [(1, False)]
    assert counted.look() == []
    assert counted.kinds.names() == ["a", "b"]
    first.unlink()
    assert [(change.file.rank, change.anew, change.pieces) for change in counted.look()] == [(0, True, [])]
    assert [file.name.rank for file in counted.files.values()] == [1]


def test_many_small_steps_are_joined(tmp_path: Path) -> None:
    counted, path = RecordCounts(tmp_path), tmp_path / "Rank0_node0_set.jsonl"
    for index in range(300):
        with path.open("ab") as file:
            file.write(line(ok_record("set", index)))
        counted.look()
    assert len(counted.files[path].found.pieces) < 100
    assert samples(counted.files[path].found) == [("set", index, "ok") for index in range(300)]


def test_more_kinds_of_errors_than_there_are_numbers(tmp_path: Path) -> None:
    found = read(result_file(tmp_path, *(failed_record("set", index, f"kind {index}") for index in range(400))))
    endings = [ending for _, _, ending in samples(found)]
    assert endings[:253] == [f"kind {index}" for index in range(253)]
    assert set(endings[253:]) == {OTHER_KINDS}


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "Rank0_node0_set.jsonl").mkdir()
    with pytest.raises(ResultError, match=r"Rank0_node0_set\.jsonl: cannot be read: Is a directory"):
        RecordCounts(tmp_path).look()


def test_several_processes_come_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for rank in range(3):
        result_file(tmp_path, *random_records(rank, 50), rank=rank)
    monkeypatch.setattr(counts, "_SIDE_BY_SIDE_FROM_BYTES", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    counted = RecordCounts(tmp_path)
    counted.look()
    for path, file in counted.files.items():
        assert samples(file.found) == parsed(path.read_bytes())


def test_the_rows_that_a_rank_has_begun_are_read_on_and_each_byte_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, count: int, offset: int) -> bytes:
        data = pread(descriptor, count, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    path = tmp_path / "Rank0_node0_set.jsonl"
    begun = BegunRows(tmp_path, 0)
    assert begun.look().count("set", 0, 9000) == 0
    lines = [json.dumps({"sample_id": f"set/{n}", "data_name": "set", "index": n, "status": "ok"}) for n in range(5000)]
    path.write_text("".join(f"{line}\n" for line in lines[:-1]))
    assert begun.look().count("set", 0, 9000) == 4999
    read.clear()
    begun.look()
    assert read == []
    with path.open("a") as file:
        file.write(f"{lines[-1]}\n{lines[-1][:10]}")
    done = begun.look()
    assert (done.count("set", 0, 9000), done.has("set", 4999)) == (5000, True)
    assert sum(read) < 1000


def test_a_rank_with_a_line_that_is_no_record_has_not_begun_nothing(tmp_path: Path) -> None:
    (tmp_path / "Rank0_node0_set.jsonl").write_text("no record\n")
    with pytest.raises(ResultError, match="line 1: is no record"):
        BegunRows(tmp_path, 0).look()
    with pytest.raises(ResultError, match="line 1: is no record"):
        list(recorded_rows(tmp_path, 0, only_ok=False))
