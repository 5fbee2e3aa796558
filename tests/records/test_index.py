import json
from pathlib import Path

from MetaCaptioner.records.index import RecordIndex
from tests.helpers import write_lines
from tests.made_records import caption_record, failed


def test_records_are_found_by_sample(tmp_path: Path) -> None:
    one = [caption_record(number, caption=f"größer {number}") for number in (5, 0, 3)]
    two = [caption_record(number, "other") for number in (0, 9)]
    paths = [write_lines(tmp_path / "one", one), write_lines(tmp_path / "two", two)]
    paths[0].write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in one), encoding="utf-8")
    index = RecordIndex(paths)
    for record in (*one, *two):
        assert index.get(record["data_name"], record["index"]) == record
    for name, number in (("photos", 1), ("photos", 99), ("third", 0)):
        assert index.get(name, number) is None


def test_a_torn_line_is_passed_over_and_of_several_records_of_a_sample_the_first_that_is_ok_counts(
    tmp_path: Path,
) -> None:
    failure = failed(caption_record(0), "engine_error")
    records = [
        failure,
        caption_record(0, caption="first"),
        caption_record(1),
        caption_record(0, caption="last"),
        failure,
    ]
    path = write_lines(tmp_path / "file", records)
    path.write_bytes(path.read_bytes() + b'{"sample_id": "photos/2", "data_name": "photos", "index": 2')
    index = RecordIndex([path])
    assert index.get("photos", 0) == records[1]
    assert index.get("photos", 1) == records[2]
    assert index.get("photos", 2) is None


def test_no_files(tmp_path: Path) -> None:
    assert RecordIndex([]).get("photos", 0) is None
