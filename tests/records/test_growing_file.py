"""A result file that is read on while it grows is never taken for another one."""

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from MetaCaptioner.errors import ResultError
from MetaCaptioner.records import growing_file
from MetaCaptioner.records.growing_file import Place, Reading, read_on, read_whole
from MetaCaptioner.records.scan import Found
from tests.records.test_scan import (
    failed_record,
    joined,
    line,
    ok_record,
    parsed,
    random_records,
    result_file,
    samples_in,
)


def read_first(path: Path) -> Place:
    *_, last = read_on(path, None)
    assert last.place is not None
    return last.place


@pytest.mark.parametrize("block_bytes", [2**20, 300])
def test_a_file_that_grows_at_any_byte_is_counted_to_its_last_whole_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(growing_file, "_BLOCK_BYTES", block_bytes)
    content = b"".join(map(line, random_records(9, 60)))
    path, place, found = tmp_path / "Rank0_node0_set.jsonl", None, Found()
    chosen, written = random.Random(1), 0
    path.touch()
    while written < len(content):
        step = chosen.randint(1, 900)
        with path.open("ab") as file:
            file.write(content[written : written + step])
        written += step
        readings = list(read_on(path, place))
        assert [reading.anew for reading in readings] == [place is None] + [False] * (len(readings) - 1)
        place = readings[-1].place
        found = joined([Reading(found, place), *readings])
        assert samples_in(found) == parsed(content[:written])
    assert list(read_on(path, place)) == []


def test_whoever_breaks_off_at_any_block_goes_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "_BLOCK_BYTES", 300)
    path, place, readings = result_file(tmp_path, *random_records(3, 40), b"torn"), None, list[Reading]()
    while one := next(read_on(path, place), None):
        following = list(read_on(path, place))[:2]
        readings += following
        place = following[-1].place
        assert readings[0].anew
        assert not any(reading.anew for reading in readings[1:]), one
    assert samples_in(joined(readings)) == parsed(path.read_bytes())


def changed(path: Path, content: bytes, in_place: bool) -> None:
    if in_place:
        path.write_bytes(content)
    else:
        other = path.with_name("other")
        other.write_bytes(content)
        other.replace(path)


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("elsewhere", [True, False])
@pytest.mark.parametrize("more", [-1, 0, 5])
def test_a_file_that_changed_otherwise_than_by_growing_is_read_anew(
    tmp_path: Path, in_place: bool, elsewhere: bool, more: int
) -> None:
    """Also where it was read on another machine, so that numbers of devices and files say nothing."""
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 20)))
    first = read_first(path)
    rewritten = [failed_record("set", index) if index == 15 else ok_record("set", index) for index in range(10, 20)]
    lines = [*map(line, rewritten)] + [line(ok_record("set", 20 + index)) for index in range(more)]
    content = b"".join(lines[:more] if more < 0 else lines)
    content += b" " * max(0, first.size - len(content)) if more == 0 else b""
    changed(path, content, in_place)
    os.utime(path, ns=(1, first.changed_ns + 1))
    again = list(read_on(path, replace(first, file=None) if elsewhere else first))
    assert again[0].anew
    assert samples_in(joined(again)) == parsed(content)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_change_in_the_middle_of_a_file_of_the_same_size_is_seen(tmp_path: Path, elsewhere: bool) -> None:
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 20)))
    first = read_first(path)
    path.write_bytes(path.read_bytes().replace(b"set/12", b"set/92").replace(b'"index": 12', b'"index": 92'))
    os.utime(path, ns=(1, first.changed_ns + 1))
    again = joined(read_on(path, replace(first, file=None) if elsewhere else first))
    assert ("set", 92, "ok") in samples_in(again)
    assert len(samples_in(again)) == 10


def test_other_records_of_the_same_length_are_not_taken_for_those_that_were_read(tmp_path: Path) -> None:
    """As when failures were taken out and their samples done again: every line ends like the others."""
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 50)))
    place = replace(read_first(path), file=None)
    lines = [line(ok_record("set", index)) for index in [*range(10, 20), *range(21, 50), 20, 51]]
    path.write_bytes(b"".join(lines))
    assert next(read_on(path, place)).anew


def test_a_file_that_must_be_whole_is_parsed_once_where_that_is_in_doubt(tmp_path: Path) -> None:
    path = result_file(tmp_path, ok_record("set", 1), b"\n", ok_record("set", 2), line(ok_record("set", 3))[:20])
    assert samples_in(joined(read_whole(path, None))) == [("set", 1, "ok"), ("set", 2, "ok")]
    path.write_bytes(path.read_bytes() + b"\n" + line(ok_record("set", 4)))
    with pytest.raises(ResultError, match="line 4: is no record"):
        list(read_whole(path, None))
    path.write_bytes(line(ok_record("set", 1)) + b"what no crash leaves")
    with pytest.raises(ResultError, match="line 2: is no record"):
        list(read_whole(path, None))


def test_a_line_without_end_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of records that some tool has put into one list."""
    monkeypatch.setattr(growing_file, "_LONGEST_LINE", 2**21)
    path = result_file(tmp_path, ok_record("set", 1))
    begin = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"[" * 2**23)
    with pytest.raises(
        ResultError, match=rf"Rank0_node0_set.jsonl: cannot be read: the line at byte {begin} is over 2 MiB"
    ):
        list(growing_file.read_on(path, None))
