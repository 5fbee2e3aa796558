"""Counting records without parsing what is ok must come to the same as parsing every line."""

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.records import growing_file, scan
from MetaCaptioner.records.growing_file import Reading, read_on
from MetaCaptioner.records.record import Told, glance, parse_record
from MetaCaptioner.records.scan import OK, OTHER_KINDS, Found, Kinds, Piece

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


def joined(readings: Iterable[Reading]) -> Found:
    """What several readings found, together."""
    found = Found()
    for reading in readings:
        found.pieces += reading.found.pieces_in(found.kinds)
        found.broken += reading.found.broken
        found.strays += reading.found.strays
    return found


def read(path: Path) -> Found:
    return joined(read_on(path, None))


def samples(pieces: Iterable[Piece], kinds: Kinds) -> list[tuple[str, int, str]]:
    """(dataset, row, "ok" or the kind of error) of every record found."""
    names = ["", *kinds.names()]
    return sorted(
        (piece.data_name, row, "ok" if ending == OK else names[ending])
        for piece in pieces
        for row, ending in zip(piece.rows.tolist(), piece.endings.tolist(), strict=True)
    )


def samples_in(found: Found) -> list[tuple[str, int, str]]:
    return samples(found.pieces, found.kinds)


def parsed(content: bytes) -> list[tuple[str, int, str]]:
    """The same by parsing every line."""
    found = []
    for one in content.splitlines(keepends=True) if b"\r" not in content else []:
        record = parse_record(one)
        if record is not None:
            ending = "ok" if record["status"] == "ok" else record["error"]["kind"]
            found.append((record["data_name"], record["index"], ending))
    return sorted(found)


@pytest.fixture(name="blocks", params=[2**20, 300])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both in one block, and in blocks that are shorter than some lines."""
    monkeypatch.setattr(growing_file, "_BLOCK_BYTES", request.param)


def random_records(seed: int, count: int) -> list[dict[str, Any]]:
    chosen = random.Random(seed)
    records = []
    for index in range(count):
        name, text = chosen.choice(NAMES), chosen.choice(TEXTS) * chosen.choice([1, 1, 1, 20])
        failed = chosen.random() < 0.2
        row = index if chosen.random() < 0.9 else 123_456_789 + index
        records.append(failed_record(name, row, f"kind {index % 5}", text) if failed else ok_record(name, row, text))
    return records


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("seed", range(4))
def test_what_models_write_does_not_deceive(tmp_path: Path, seed: int) -> None:
    path = result_file(tmp_path, *random_records(seed, 300))
    found = read(path)
    assert samples_in(found) == parsed(path.read_bytes())
    assert (found.broken, found.strays) == (0, 0)


def test_only_failures_and_one_line_of_a_dataset_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[bytes] = []

    def noted(one: bytes) -> Told | None:
        looked_at.append(one)
        return glance(one)

    monkeypatch.setattr(scan, "glance", noted)
    found = read(result_file(tmp_path, *(ok_record("set", index) for index in range(1000)), failed_record("set", 1000)))
    assert len(samples_in(found)) == 1001
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
    assert samples_in(found) == [("set", row, ending) for row, ending in enumerate(endings)]


def test_the_index_is_what_counts_wherever_the_id_tells_of_another_row(tmp_path: Path) -> None:
    others = [ok_record("set", index) | {"sample_id": f"set/{index // 10}"} for index in (10, 25, 119)]
    odd = [line(ok_record("set", 7)).replace(b'"index": 7,', value) for value in (b'"index": 7.0,', b'"index": \xff,')]
    found = read(result_file(tmp_path, ok_record("set", 0), *others, *odd, ok_record("set", 3)))
    assert samples_in(found) == [("set", index, "ok") for index in (0, 3, 10, 25, 119)]
    assert (found.broken, found.strays) == (1, 1)


def test_lines_that_are_no_records_or_of_no_row(tmp_path: Path) -> None:
    torn_inside = line(ok_record("set", 1))[:40] + line(ok_record("set", 2))
    unfinished = b'{"sample_id": "set/9", "data_name": "set", "index": 9, }\n'
    broken = [b"\n", b"}\n", b"\x00" * 50 + b"\n", unfinished, torn_inside]
    strays = [{"sample_id": "x", "status": "ok"}, ok_record("set", -1), ok_record("set", 2**40)]
    found = read(result_file(tmp_path, ok_record("set", 0), *broken, *strays, ok_record("set", 3)))
    assert samples_in(found) == [("set", 0, "ok"), ("set", 3, "ok")]
    assert (found.broken, found.strays) == (len(broken), len(strays))


def test_more_kinds_of_errors_than_there_are_numbers(tmp_path: Path) -> None:
    found = read(result_file(tmp_path, *(failed_record("set", index, f"kind {index}") for index in range(400))))
    endings = [ending for _, _, ending in samples_in(found)]
    assert endings[:253] == [f"kind {index}" for index in range(253)]
    assert set(endings[253:]) == {OTHER_KINDS}
