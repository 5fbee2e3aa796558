"""Ranges of rows must come to what one looks up record by record."""

import random
from collections import Counter

import numpy as np

from MetaCaptioner.records.row_map import HIGHEST_ROW
from MetaCaptioner.records.row_ranges import RowRanges
from MetaCaptioner.records.scan import OK

Records = list[tuple[int, int]]


def ranges_of(records: Records) -> RowRanges:
    rows, endings = zip(*records, strict=True) if records else ((), ())
    return RowRanges.of(np.array(rows, dtype=np.int32), np.array(endings, dtype=np.uint8))


def one_by_one(records: Records) -> dict[int, tuple[int, int]]:
    """(ending, records) of each row."""
    endings: dict[int, int] = {}
    for row, ending in records:
        if endings.get(row) != OK:
            endings[row] = ending
    counts = Counter(row for row, _ in records)
    return {row: (endings[row], counts[row]) for row in sorted(endings)}


def told(ranges: RowRanges) -> dict[int, tuple[int, int]]:
    return {
        row: (ending, records)
        for start, end, ending, records in zip(
            ranges.starts.tolist(), ranges.ends.tolist(), ranges.endings.tolist(), ranges.records.tolist(), strict=True
        )
        for row in range(start, end)
    }


def test_records_in_any_order_and_in_any_steps_come_to_the_same() -> None:
    chosen = random.Random(5)
    for _ in range(200):
        rows = [chosen.randrange(30) + chosen.choice([0, 0, HIGHEST_ROW - 29]) for _ in range(chosen.randrange(60))]
        records = [(row, chosen.choice([OK, OK, OK, 1, 2])) for row in rows]
        cuts = sorted(chosen.randrange(len(records) + 1) for _ in range(2))
        first, *others = (ranges_of(records[a:b]) for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True))
        ranges = first
        for later in others:
            ranges = ranges.then(later)
        assert told(ranges) == one_by_one(records)
        assert list(told(ranges)) == sorted(told(ranges))
        assert ranges.total == len(records)
        again = list(zip(*(part.tolist() for part in ranges.each_record()), strict=True))
        assert one_by_one(again) == one_by_one(records)
        assert len(ranges) == len(ranges.joined()) == len(ranges_of(again))


def test_what_is_done_in_order_is_one_range() -> None:
    ranges = RowRanges.none()
    for start in range(0, 1000, 10):
        rows = list(range(start, start + 10))
        random.Random(start).shuffle(rows)
        ranges = ranges.then(ranges_of([(row, OK) for row in rows]))
    assert (len(ranges), ranges.starts.tolist(), ranges.ends.tolist()) == (1, [0], [1000])
