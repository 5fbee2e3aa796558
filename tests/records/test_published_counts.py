"""What a rank has published and what follows it must come to what a count of all comes to, or it is not believed."""

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MetaCaptioner.records import growing_file, published_counts
from MetaCaptioner.records.counts import CountedFile, RecordCounts
from MetaCaptioner.records.published_counts import CountsPublisher
from MetaCaptioner.records.reader import result_files
from tests.helpers import plain
from tests.records.test_scan import failed_record, line, ok_record, random_records, result_file

NAME = "Rank0_node0_set.jsonl"
COUNTS = "runs/Rank0_node0.counts.json"


def never() -> bool:
    return False


def publisher(folder: Path, process: int = 0) -> CountsPublisher:
    (folder / "runs").mkdir(exist_ok=True)
    return CountsPublisher(folder, process, 0, lambda: [path for path, _ in result_files(folder, 0)])


def told(file: CountedFile) -> object:
    """All that a file was found to hold."""
    kinds = ["", *file.kinds.names()] + ["ok"] * 256
    pieces = {
        piece.data_name: [
            (row, kinds[ending if ending < 255 else -1])
            for row, ending in zip(piece.rows.tolist(), piece.endings.tolist(), strict=True)
        ]
        for piece in file.pieces()
    }
    return pieces, file.broken, file.strays, file.place and (file.place.size, file.place.offset, file.place.changed_ns)


def counted(folder: Path, known: list[CountedFile] | None = None) -> dict[str, object]:
    counts = RecordCounts(folder, known or ())
    counts.look()
    return {path.name: told(file) for path, file in counts.files.items()}


def with_published(folder: Path) -> dict[str, object]:
    return counted(folder, published_counts.published_counts(folder))


def believed(folder: Path) -> list[str]:
    return [file.path.name for file in published_counts.published_counts(folder)]


def odd_lines(seed: int) -> list[bytes]:
    """Records in no order, samples with several, and lines that are none."""
    chosen = random.Random(seed)
    records = [line(record) for record in random_records(seed, 200)]
    again = [
        ok_record("set", 7),
        failed_record("set", 7, "a"),
        failed_record("set", 8, "a"),
        failed_record("set", 8, "b"),
    ]
    odd = [b"no record\n", b"\n", line({"sample_id": "x"}), *map(line, again * 2)]
    return chosen.sample([*records, *odd], len(records) + len(odd))


@pytest.mark.parametrize("seed", range(3))
def test_what_was_published_at_any_byte_and_what_follows_come_to_the_same(tmp_path: Path, seed: int) -> None:
    content, written, chosen = b"".join(odd_lines(seed)), 0, random.Random(seed)
    publishes = publisher(tmp_path)
    while written < len(content):
        for publish in (True, False):
            step = chosen.randint(1, 8000)
            with (tmp_path / NAME).open("ab") as file:
                file.write(content[written : written + step])
            written += step
            if publish:
                publishes.publish(never)
            assert believed(tmp_path) == [NAME]
            assert with_published(tmp_path) == counted(tmp_path)


def test_only_what_follows_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result_file(tmp_path, *(ok_record("set", index) for index in range(3000)))
    publisher(tmp_path).publish(never)
    blocks: list[int] = []
    count = growing_file.count_block

    def noted(block: bytes, *more: Any) -> None:
        blocks.append(len(block))
        count(block, *more)

    monkeypatch.setattr(growing_file, "count_block", noted)
    with (tmp_path / NAME).open("ab") as file:
        file.write(line(ok_record("set", 3000)))
    assert with_published(tmp_path)[NAME]
    assert blocks == [len(line(ok_record("set", 3000)))]


def test_nothing_is_written_while_nothing_has_changed(tmp_path: Path) -> None:
    path, publishes = result_file(tmp_path, ok_record("set", 1)), publisher(tmp_path)
    publishes.publish(never)
    first = (tmp_path / COUNTS).stat().st_ino
    publishes.publish(never)
    assert (tmp_path / COUNTS).stat().st_ino == first
    path.unlink()
    publishes.publish(never)
    assert json.loads((tmp_path / COUNTS).read_bytes())["files"] == {}


def test_a_folder_that_was_moved_is_known_again(tmp_path: Path) -> None:
    (old := tmp_path / "old").mkdir()
    result_file(old, *(ok_record("set", index) for index in range(30)))
    publisher(old).publish(never)
    new = old.rename(tmp_path / "new")
    assert believed(new) == [NAME]
    assert with_published(new) == counted(new)


def _replace(path: Path) -> None:
    """Other records of the same lengths, at the same time."""
    status = path.stat()
    lines = path.read_bytes().splitlines(keepends=True)
    path.with_name("new").write_bytes(b"".join([*lines[:3], *lines[4:], line(ok_record("set", 99))]))
    path.with_name("new").replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _shorten(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


def _shorten_and_go_on(path: Path) -> None:
    _shorten(path)
    with path.open("ab") as file:
        file.writelines(line(failed_record("set", index)) for index in range(40, 60))


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"set/12", b"set/92").replace(b'"index": 12', b'"index": 92'))
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 10**6))


def _edit_and_go_on(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(line(ok_record("set", 12)), line(failed_record("set", 12))))
    with path.open("ab") as file:
        file.writelines(line(ok_record("set", index)) for index in range(40, 60))


def _remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [_replace, _shorten, _shorten_and_go_on, _edit, _edit_and_go_on, _remove])
def test_a_file_that_is_no_more_what_it_was_is_counted_anew(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10, 40)))
    publisher(tmp_path).publish(never)
    assert believed(tmp_path) == [NAME]
    before = published_counts.published_counts(tmp_path)
    change(path)
    assert believed(tmp_path) == []
    assert with_published(tmp_path) == counted(tmp_path)
    assert counted(tmp_path, before) == counted(tmp_path)  # also where it changes meanwhile


@pytest.mark.parametrize("processes", [(3, 5), (5, 3)])
def test_of_several_that_tell_of_a_file_the_one_that_knows_most_of_it_counts(
    tmp_path: Path, processes: tuple[int, int]
) -> None:
    """As where its rank was another process's before."""
    path = result_file(tmp_path, *(ok_record("set", index) for index in range(10)))
    publisher(tmp_path, processes[0]).publish(never)
    with path.open("ab") as file:
        file.write(line(ok_record("set", 10)))
    publisher(tmp_path, processes[1]).publish(never)
    (file_known,) = published_counts.published_counts(tmp_path)
    assert file_known.place is not None
    assert file_known.place.offset == path.stat().st_size
    assert with_published(tmp_path) == counted(tmp_path)


def _datasets(said: Any) -> Any:
    return said["files"][NAME]["datasets"]["set"]


@pytest.mark.parametrize(
    "falsify",
    [
        lambda said: said.update(format=2),
        lambda said: said.update(files=[]),
        lambda said: said["files"][NAME].update(read_to=-1),
        lambda said: said["files"][NAME].update(read_to=10**6),
        lambda said: said["files"][NAME].update(read_to=10**30),
        lambda said: said["files"][NAME].update(check="0" * 32),
        lambda said: said["files"][NAME].update(check=None),
        lambda said: said["files"][NAME].update(strays=10**6),
        lambda said: said["files"][NAME].update(broken=-1),
        lambda said: _datasets(said).update(done=[0, 2**31]),
        lambda said: _datasets(said).update(done=[0, 10**9]),
        lambda said: _datasets(said).update(done=[0, 10**40]),
        lambda said: _datasets(said).update(done=[-5, 10]),
        lambda said: _datasets(said).update(done=[5, 3]),
        lambda said: _datasets(said).update(done=[0, 5, 7]),
        lambda said: _datasets(said).update(done=[0, 5, 4, 10]),
        lambda said: _datasets(said).update(done=[0.5, 10]),
        lambda said: _datasets(said).update(done=[True, 10]),
        lambda said: _datasets(said).update(failed={"a": [90, 91]}),
        lambda said: _datasets(said).update(failed={"a": [3, 5], "b": [4, 6]}),
        lambda said: _datasets(said).update(again={"1": [0, 30, 29, 30]}),
        lambda said: _datasets(said).update(again={"2000000000": [0, 1]}),
        lambda said: _datasets(said).update(again={"0": [0, 1]}),
        lambda said: _datasets(said).update(again={"-1": [0, 1]}),
    ],
)
def test_what_makes_no_sense_is_not_believed(tmp_path: Path, falsify: Callable[[Any], None]) -> None:
    result_file(tmp_path, *(ok_record("set", index) for index in range(30)))
    publisher(tmp_path).publish(never)
    said = json.loads((tmp_path / COUNTS).read_bytes())
    assert believed(tmp_path) == [NAME]
    falsify(said)
    (tmp_path / COUNTS).write_text(json.dumps(said))
    assert believed(tmp_path) == []
    assert with_published(tmp_path) == counted(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe{",
        b"{" * 100_000,
        b'{"format": 1, "files": {}}' + b" " * 2**24,
        b'{"format": 1, "files": {"../other.jsonl": {}}}',
        b'{"format": 1, "files": ' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "a list", "no UTF-8", "deep", "long", "elsewhere", "digits"],
)
def test_what_is_no_such_file_is_as_if_it_were_not_there(tmp_path: Path, content: bytes) -> None:
    result_file(tmp_path, ok_record("set", 1))
    (tmp_path / "runs").mkdir()
    (tmp_path / COUNTS).write_bytes(content)
    os.mkfifo(tmp_path / "runs/Rank1_node0.counts.json")
    (tmp_path / "runs/Rank2_node0.counts.json").mkdir()
    (tmp_path / "runs/Rank3_node0.counts.json").symlink_to("/dev/zero")
    assert believed(tmp_path) == []
    assert with_published(tmp_path) == counted(tmp_path)


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = ["half \ud800", "\u202eright to left", "a\nb", 'q"', ""]
    records = [json.dumps(ok_record(name, 3)).encode() + b"\n" for name in names]
    (tmp_path / os.fsdecode(b"Rank0_node0_\xff.jsonl")).write_bytes(b"".join(records))
    publisher(tmp_path).publish(never)
    assert b"\n" not in (tmp_path / COUNTS).read_bytes().strip()
    assert len(believed(tmp_path)) == 1
    assert with_published(tmp_path) == counted(tmp_path)


def test_files_with_too_many_ranges_are_left_out_and_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_counts, "_MOST_RANGES", 20)
    scattered = result_file(tmp_path, *(ok_record("set", index) for index in range(0, 60, 2)))
    scattered.rename(tmp_path / "Rank0_node0_other.jsonl")
    result_file(tmp_path, *(ok_record("set", index) for index in range(30)))
    publishes = publisher(tmp_path)
    for _ in range(2):
        publishes.publish(never)
        assert believed(tmp_path) == [NAME]
        assert with_published(tmp_path) == counted(tmp_path)


def test_a_count_that_is_broken_off_goes_on_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growing_file, "_BLOCK_BYTES", 2000)
    path, publishes, rounds = result_file(tmp_path, *random_records(3, 200)), publisher(tmp_path), 0
    while not (tmp_path / COUNTS).exists():
        looks = iter([False, False, True])
        publishes.publish(lambda looks=looks: next(looks, True))  # type: ignore[misc]
        rounds += 1
        assert rounds < path.stat().st_size // 500
        if rounds == 20:
            publishes.publish(never)
    assert rounds > 5
    assert believed(tmp_path) == [NAME]
    assert with_published(tmp_path) == counted(tmp_path)


def test_that_it_cannot_be_published_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result_file(tmp_path, ok_record("set", 1))
    publishes = publisher(tmp_path)
    (tmp_path / COUNTS).mkdir()
    (tmp_path / COUNTS / "something").touch()
    publishes.begin()
    for _ in range(3):
        publishes.publish(never)
    said = plain(capsys.readouterr().err)
    assert said.count("\n") == 1
    assert said.startswith(f"note: counts for status {tmp_path / COUNTS}: ")
    assert said.endswith("; status then counts the result files themselves\n")


def test_a_result_file_that_cannot_be_read_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / NAME).mkdir()
    publishes = publisher(tmp_path)
    for _ in range(3):
        publishes.publish(never)
    assert capsys.readouterr().err.count("cannot be read: Is a directory") == 1


def test_a_folder_that_cannot_be_listed_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def stale() -> list[Path]:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    (tmp_path / "runs").mkdir()
    publishes = CountsPublisher(tmp_path, 0, 0, stale)
    for _ in range(2):
        publishes.publish(never)
    assert capsys.readouterr().err.count(f"note: counts for status {tmp_path / COUNTS}: Stale file handle; ") == 1


def test_what_an_earlier_run_has_said_is_taken_back(tmp_path: Path) -> None:
    result_file(tmp_path, ok_record("set", 1))
    publisher(tmp_path).publish(never)
    publisher(tmp_path).begin()
    assert believed(tmp_path) == []
    publisher(tmp_path).begin()


def test_a_run_goes_on_from_what_an_earlier_one_has_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = result_file(tmp_path, ok_record("set", 1), ok_record("set", 2))
    publisher(tmp_path).publish(never)
    read: list[int] = []
    count = growing_file.count_block

    def counting(block: bytes, end: int, *more: Any) -> None:
        read.append(end)
        count(block, end, *more)

    monkeypatch.setattr(growing_file, "count_block", counting)
    publishes = publisher(tmp_path)
    publishes.begin()
    publishes.publish(never)
    assert read == []
    assert believed(tmp_path) == [NAME]
    before = path.stat().st_size
    with path.open("ab") as file:
        file.write(line(ok_record("set", 3)))
    publishes.publish(never)
    assert sum(read) == path.stat().st_size - before
    monkeypatch.undo()
    assert with_published(tmp_path) == counted(tmp_path)
