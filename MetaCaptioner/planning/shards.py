"""Rows with their costs -> balanced shards, one or more a rank."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.planning.plan_file import PlanRow
from MetaCaptioner.planning.survey import DatasetWork


def cut(works: Sequence[DatasetWork], num_ranks: int, metafile: str = "") -> list[PlanRow]:
    """Cut what is pending into contiguous shards so that the ranks' costs are as even as single samples allow.

    All pending rows stand in one line, dataset after dataset; rank r gets those whose middle lies in the r-th of
    `num_ranks` equal parts of the whole cost. So there are at most `num_ranks` - 1 cuts beside the ends of datasets and
    the gaps that earlier results left. `metafile` is the digest of what they are planned from.
    """
    total = sum(float(work.costs[work.pending].sum(dtype=np.float64)) for work in works)
    shards: list[PlanRow] = []
    offset = 0.0
    for work in works:
        costs = np.where(work.pending, work.costs, 0.0).astype(np.float64)
        ends = offset + np.cumsum(costs)
        scale = num_ranks / total if total else 0.0
        ranks = np.minimum(((ends - costs / 2) * scale).astype(np.int64), num_ranks - 1)
        done = len(work.pending)
        # A dataset that is done keeps an empty shard, so that the plan still tells of it.
        pieces = list(_runs(np.where(work.pending, ranks, -1))) or [(0, done, done)]
        remain = int(work.pending.sum())
        for number, (rank, start, end) in enumerate(pieces):
            shards.append(
                PlanRow(
                    data_name=work.name,
                    json_url=str(work.dataset.annotation),
                    root=str(work.dataset.root),
                    task=work.dataset.task,
                    modality=work.dataset.modality,
                    total=len(work.pending),
                    processed=len(work.pending) - remain,
                    remain=remain,
                    shard_index=number,
                    num_shards=len(pieces),
                    start_idx=start,
                    end_idx=end,
                    anno_file_key=work.dataset.annotation.name,
                    assign_rank=rank,
                    cost=round(float(costs[start:end].sum()), 1),
                    metafile=metafile,
                )
            )
        offset = float(ends[-1]) if len(ends) else offset
    return shards


def _runs(ranks: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """(rank, start, end) of each stretch of equal values that is not -1."""
    edges = np.flatnonzero(np.diff(ranks)) + 1
    starts = [0, *edges.tolist()] if len(ranks) else []
    for start, end in zip(starts, [*edges.tolist(), len(ranks)], strict=False):
        if ranks[start] >= 0:
            yield int(ranks[start]), start, end
