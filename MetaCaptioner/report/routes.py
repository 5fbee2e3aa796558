"""What the router said of every sample: in the caption's own record, or in a folder of route results."""

from pathlib import Path
from typing import Self

from MetaCaptioner.errors import UserError
from MetaCaptioner.records.reader import read_records, result_files
from MetaCaptioner.records.record import Record, is_error
from MetaCaptioner.records.row_map import RowNumbers, row_of
from MetaCaptioner.report.entry import Route, Sums, seconds_of, tokens_of

CONFIDENCE_BINS = 20
_SHARES = 10_000


class Routes:
    """The routes of a folder, a few bytes for each sample. Failed ones are left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spent = Sums()
        self._names: list[str] = []
        self._tasks = RowNumbers("int16")  # 1 is the first name
        self._confidences = RowNumbers("int32")  # in ten-thousandths, from 1

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The routes of a folder; one without result files has none."""
        routes = cls(folder)
        for path, _ in result_files(folder):
            for record in read_records(path):
                routes._add(record)
        return routes

    def _add(self, record: Record) -> None:
        self.spent.add(tokens_of(record), 0, seconds_of(record))
        if is_error(record) or record.get("task_source") != "router":
            return
        if record["task"] not in self._names:
            self._names.append(record["task"])
        row = row_of(record)
        if row is None or self._tasks.get(*row):  # of several the first counts
            return
        self._tasks.set(*row, self._names.index(record["task"]) + 1)
        if record.get("task_confidence") is not None:
            self._confidences.set(*row, round(_SHARES * record["task_confidence"]) + 1)

    def of(self, caption: Record) -> Route | None:
        """The route of a caption's sample: the one that the caption was made by, or else the folder's."""
        if caption.get("task_source") == "router" and caption.get("task"):
            return Route(caption["task"], caption.get("task_confidence"))
        row = row_of(caption)
        if row is None:
            return None
        task, confidence = self._tasks.get(*row), self._confidences.get(*row)
        return Route(self._names[task - 1], (confidence - 1) / _SHARES if confidence else None) if task else None


def find_routes(data_folder: Path, domain_folder: Path | None) -> Routes:
    """The routes to hold captions against: of the folder that is named, or of `Domain` beside the captions.

    Raises:
        UserError: a folder was named, and it holds no results.
    """
    if domain_folder is not None and not result_files(domain_folder):
        raise UserError(f"domain folder {domain_folder}: holds no route results (Rank*_node*_*.jsonl)")
    return Routes.read(domain_folder or data_folder.resolve().parent / "Domain")


def confidence_bin(confidence: float) -> int:
    """Which of the equal bins a confidence falls into; 1 is in the last."""
    return min(CONFIDENCE_BINS - 1, max(0, int(confidence * CONFIDENCE_BINS)))
