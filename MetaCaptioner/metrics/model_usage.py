"""What each of several models took in a run: tokens, GPUs and money."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict


class ModelUsage(BaseModel):
    """What a rank's run has had of one model.

    `names` are those that agents have for it, the empty one for the default. `gpus` are the rank's own, or its share of
    those on which the launch serves the model. Prices are those of a million tokens, where they were told.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    names: tuple[str, ...]
    gpus: float = 0.0
    price_in: float | None = None
    price_out: float | None = None
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def with_tokens(self, answers: "Mapping[str, Any]") -> Self:
        """The same with the tokens of `answers`, counted by the names of models."""
        mine = [answers[name] for name in self.names if name in answers]
        fields = ("input_tokens", "cached_tokens", "output_tokens")
        return self.model_copy(update={field: sum(getattr(one, field) for one in mine) for field in fields})

    @property
    def money(self) -> float | None:
        """What its tokens cost, those from a cache like the others."""
        return money_of(self.input_tokens, self.output_tokens, self.price_in, self.price_out)


def money_of(input_tokens: int, output_tokens: int, price_in: float | None, price_out: float | None) -> float | None:
    """What tokens cost at the prices of a million; None where they were not told."""
    if price_in is None or price_out is None:
        return None
    return (input_tokens * price_in + output_tokens * price_out) / 1e6


@dataclass
class ModelFigures:
    """What some runs had of one model together; hours and money are None where there were none."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    gpu_hours: float | None = None
    money: float | None = None

    def add(self, usage: ModelUsage, seconds: float) -> None:
        """Add what a run of so many seconds had."""
        self.input_tokens += usage.input_tokens
        self.cached_tokens += usage.cached_tokens
        self.output_tokens += usage.output_tokens
        if usage.gpus:
            self.gpu_hours = (self.gpu_hours or 0.0) + usage.gpus * seconds / 3600
        if usage.money is not None:
            self.money = (self.money or 0.0) + usage.money

    def __str__(self) -> str:
        parts = [f"{self.input_tokens:,} input and {self.output_tokens:,} output tokens"]
        parts += [f"{self.gpu_hours:,.2f} GPU hours"] if self.gpu_hours is not None else []
        parts += [f"{self.money:,.2f} for tokens"] if self.money is not None else []
        return ", ".join(parts)


def figures_by_model(runs: Iterable[tuple[Sequence[ModelUsage], float]]) -> dict[str, ModelFigures]:
    """Model -> what it took in all, of runs as (what they had of their models, seconds)."""
    found: dict[str, ModelFigures] = {}
    for models, seconds in runs:
        for usage in models:
            found.setdefault(usage.model, ModelFigures()).add(usage, seconds)
    for figures in found.values():
        figures.gpu_hours = None if figures.gpu_hours is None else round(figures.gpu_hours, 4)
        figures.money = None if figures.money is None else round(figures.money, 6)
    return found
