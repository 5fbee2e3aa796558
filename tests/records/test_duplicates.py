from pathlib import Path

import pytest

from MetaCaptioner.records.duplicates import Once
from MetaCaptioner.records.reader import read_records
from MetaCaptioner.records.record import is_error
from MetaCaptioner.records.row_map import row_of
from tests.helpers import write_lines
from tests.made_records import caption_record, failed

ONE, TWO = caption_record(0, caption="one"), caption_record(0, caption="two")
FAILED, AGAIN = failed(ONE, "engine_error"), failed(ONE, "unexpected")


@pytest.mark.parametrize(
    ("of_first", "of_second", "counts"),
    [
        ([ONE, TWO], [], ONE),
        ([TWO], [ONE, FAILED], TWO),
        ([FAILED, ONE], [TWO], ONE),
        ([FAILED], [AGAIN, ONE, TWO], ONE),
        ([FAILED, AGAIN], [FAILED], FAILED),
    ],
)
def test_the_first_record_that_is_ok_counts_or_else_the_first(
    tmp_path: Path, of_first: list[object], of_second: list[object], counts: object
) -> None:
    other = caption_record(1)
    paths = [write_lines(tmp_path / str(n), [*of, other]) for n, of in enumerate((of_first, of_second))]  # type: ignore[list-item]
    once = Once(paths)
    found = [
        record
        for path in paths
        for record in read_records(path)
        if once.counts(path, row_of(record), not is_error(record))
    ]
    assert sorted(found, key=lambda record: record["index"]) == [counts, other]
    assert once.passed_over == len(of_first) + len(of_second)


def test_files_without_failures_are_not_read_for_it(tmp_path: Path) -> None:
    once = Once([tmp_path / "not there"])
    assert [once.counts(tmp_path, ("set", row), ok=True) for row in (0, 1, 0)] == [True, True, False]


def test_a_record_of_no_row_is_by_itself() -> None:
    once = Once([])
    assert [once.counts(Path(), None, ok=False) for _ in range(2)] == [True, True]
