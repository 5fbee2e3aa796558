"""Which rows of which datasets must have a record by a plan, and which rank each of them is for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.plan_file import PlanRow


@dataclass(frozen=True)
class Expected:
    """Of every row of a dataset: whether it must have a record, and the rank that the plan gives it to (-1: none)."""

    recorded: NDArray[np.bool_]
    ranks: NDArray[np.int32]


def expected_rows(rows: Sequence[PlanRow]) -> dict[str, Expected]:
    """By dataset, the rows that must have a record: those of the plan's shards, and those done before it was made."""
    by_name: dict[str, list[PlanRow]] = defaultdict(list)
    for row in rows:
        by_name[row.data_name].append(row)
    expected = {}
    for name, shards in by_name.items():
        ranks = np.full(max(max(shard.total, shard.end_idx) for shard in shards), -1, dtype=np.int32)
        for shard in shards:
            ranks[shard.start_idx : shard.end_idx] = shard.assign_rank
        recorded = ranks >= 0
        if int(recorded.sum()) + shards[0].processed >= len(recorded):
            recorded[:] = True
        expected[name] = Expected(recorded, ranks)
    return expected
