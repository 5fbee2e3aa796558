"""Which rows of which datasets must have a record by a plan, and which rank each of them is for."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.planning.plan_file import PlanRow

NOBODY = -1
"""In place of the rank of a row that a plan gives to none."""


@dataclass(frozen=True)
class Expected:
    """Which of the `total` rows of a dataset must have a record, and which rank each is for (-1: none).

    `shards` are (start, end, rank) in order, each of the rows `start <= index < end`. With `all_recorded` the rows
    between them must have a record as well, for they were done before the plan was made.
    """

    total: int
    shards: tuple[tuple[int, int, int], ...]
    all_recorded: bool

    def rank(self, index: int) -> int:
        """The rank of one row."""
        place = bisect_right(self._starts, index) - 1
        return self.shards[place][2] if place >= 0 and index < self.shards[place][1] else NOBODY

    @property
    def recorded(self) -> Sequence[tuple[int, int]]:
        """(start, end) of the rows that must have a record."""
        return [(0, self.total)] if self.all_recorded else [(start, end) for start, end, _ in self.shards]

    @property
    def count(self) -> int:
        """How many must have a record."""
        return sum(end - start for start, end in self.recorded)

    @cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self.shards]

    def each_rank(self) -> NDArray[np.int32]:
        """The rank of each row, of the shape (total,)."""
        ranks = np.full(self.total, NOBODY, dtype=np.int32)
        for start, end, rank in self.shards:
            ranks[start:end] = rank
        return ranks


def expected_rows(rows: Sequence[PlanRow]) -> dict[str, Expected]:
    """By dataset, the rows that must have a record: those of the plan's shards, and those done before it was made.

    Args:
        rows: those of a plan, without overlaps.
    """
    by_name: dict[str, list[PlanRow]] = defaultdict(list)
    for row in rows:
        by_name[row.data_name].append(row)
    expected = {}
    for name, shards in by_name.items():
        total = max(max(shard.total, shard.end_idx) for shard in shards)
        spans = sorted((row.start_idx, row.end_idx, row.assign_rank) for row in shards if row.start_idx < row.end_idx)
        planned = sum(end - start for start, end, _ in spans)
        expected[name] = Expected(total, tuple(spans), all_recorded=planned + shards[0].processed >= total)
    return expected
