"""Measures of routing, captions and judgements, on plain values."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from demo.scene import Fact


@dataclass(frozen=True)
class FactCount:
    """Facts of captions held against the truth. A sentence that says nothing known counts as one false fact."""

    right: int = 0
    said: int = 0
    true: int = 0

    def __add__(self, other: "FactCount") -> "FactCount":
        return FactCount(self.right + other.right, self.said + other.said, self.true + other.true)

    @property
    def precision(self) -> float:
        return self.right / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.said + self.true) if self.said + self.true else 0.0


def count_facts(said: set[Fact], strange: Sequence[str], true: set[Fact]) -> FactCount:
    """Count the facts of one caption."""
    return FactCount(len(said & true), len(said) + len(strange), len(true))


def calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float:
    """Expected calibration error: the gap between mean confidence and accuracy, over equal bins, weighted by size.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    frame = pd.DataFrame({"confidence": confidences, "right": [float(hit) for hit in right]})
    chosen = frame.groupby((frame["confidence"] * bins).clip(upper=bins - 1e-9).astype(int))
    gaps = (chosen["confidence"].mean() - chosen["right"].mean()).abs()
    return float((gaps * chosen.size()).sum() / len(frame))


def area_under_roc(good: Sequence[float], bad: Sequence[float]) -> float:
    """The probability that a good one scores above a bad one, ties counted as half. Source: the Mann-Whitney U."""
    ranks = pd.Series([*good, *bad]).rank()
    return float((ranks[: len(good)].sum() - len(good) * (len(good) + 1) / 2) / (len(good) * len(bad)))


def confusion(pairs: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """(true, found) -> how often, the misses only."""
    return Counter(pair for pair in pairs if pair[0] != pair[1])
