"""What an export tells of itself: how many captions of what, by which models, past which filter."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from MetaCaptioner.results import Record

FILE_NAME = "export.json"
"""In every folder that was exported; it tells such a folder from any other."""


@dataclass
class Account:
    """Counts the captions that are written, and those that are left out, by reason and with the first example.

    `thresholds` are those of the filter; None where every caption is taken.
    """

    thresholds: dict[str, Any] | None
    written: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one caption as written."""
        self.written += 1
        named = {"modalities": "modality", "datasets": "data_name", "domains": "task", "models": "model"}
        for what, name in {**named, "prompts": "prompts"}.items():
            self.counts.setdefault(what, Counter())[str(record.get(name))] += 1

    def leave_out(self, reason: str, example: str) -> None:
        self.left_out[reason] += 1
        self.examples.setdefault(reason, example)

    def content(self) -> dict[str, Any]:
        """What is written to the file."""
        counts = {what: dict(counter.most_common()) for what, counter in self.counts.items()}
        return {"captions": self.written, **counts, "filter": self.thresholds, "left_out": dict(self.left_out)}
