"""What an export tells of itself: how many captions of what, by which models, past which filter."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.cli import complain, note


@dataclass
class Account:
    """Counts the captions that are written, and those that are left out, by reason and with the first example.

    `notes` count likewise what is not as one might expect, though nothing is left out. `thresholds` are those of the
    filter; None where every caption is taken. `facts` are further values for the file.
    """

    thresholds: dict[str, Any] | None = None
    written: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Count one caption as written."""
        self.written += 1
        named = {"modalities": "modality", "datasets": "data_name", "domains": "task", "models": "model"}
        for what, name in {**named, "prompts": "prompts"}.items():
            self.counts.setdefault(what, Counter())[str(record.get(name))] += 1

    def leave_out(self, reason: str, example: str) -> None:
        self.left_out[reason] += 1
        self.examples.setdefault(reason, example)

    def note(self, what: str, example: str, count: int = 1) -> None:
        self.notes[what] += count
        self.examples.setdefault(what, example)

    def filter_told(self) -> list[str]:
        """The thresholds of the filter, as `min_overall 3`; that of a dimension as `min_dim_score_of truth 4`."""
        told: list[str] = []
        for name, value in (self.thresholds or {}).items():
            of_each = value.items() if isinstance(value, dict) else [("", value)]
            told += [" ".join(filter(None, (name, str(part), str(one)))) for part, one in of_each]
        return told

    def tell(self) -> None:
        """Say each thing left out or to be noted."""
        for what, count in self.left_out.items():
            complain(f"left out: {count} {what} (first: {self.examples[what]})")
        for what, count in self.notes.items():
            note(f"{count} {what} (first: {self.examples[what]})")

    def content(self) -> dict[str, Any]:
        """What is written to the file."""
        counts = {what: dict(counter.most_common()) for what, counter in self.counts.items()}
        told = {"left_out": dict(self.left_out), "notes": dict(self.notes), **self.facts}
        return {"captions": self.written, **counts, "filter": self.thresholds, **told}
