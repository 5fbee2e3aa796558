"""The dimensions that a judge marks, as `judge.yaml` lists them: their names, what marks mean, what they weigh."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Mark = Literal[1, 2, 3, 4, 5]
MARKS: tuple[Mark, ...] = (1, 2, 3, 4, 5)
_NO_DIMENSIONS = ("reason", "overall")
_Text = Annotated[str, Field(pattern=r"\S")]


@dataclass(frozen=True)
class Dimension:
    """One thing that captions are marked for, from 1 to 5, and its weight in the overall mark."""

    name: str
    weight: float = 1.0


SHIPPED = tuple(map(Dimension, ("accuracy", "completeness", "hallucination", "reasoning", "fluency")))
"""Those of the shipped judge, and of a `judge.yaml` that lists none."""


class DimensionFile(BaseModel):
    """A dimension as `judge.yaml` has it; a name alone will do, where the prompt says what it means.

    `anchors` say what a caption with that mark is like.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    weight: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    meaning: _Text | None = None
    anchors: Mapping[Mark, _Text] = {}

    @model_validator(mode="before")
    @classmethod
    def _named(cls, content: Any) -> Any:
        return {"name": content} if isinstance(content, str) else content

    @property
    def told(self) -> str:
        """What the judge is told of it."""
        lines = [f"{self.name}: {self.meaning.strip()}" if self.meaning else f"{self.name}:"]
        lines += [f"- {mark}: {text.strip()}".replace("\n", "\n  ") for mark, text in self.anchors.items()]
        return "\n".join(lines)

    def dimension(self) -> Dimension:
        return Dimension(self.name, self.weight)


def check_dimensions(dimensions: Sequence[DimensionFile]) -> None:
    """Refuse names that are there twice or mean something else, and weights that are all zero.

    Raises:
        ValueError: that.
    """
    names = [one.name for one in dimensions]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two dimensions are named '{name}'")
        if name in _NO_DIMENSIONS:
            raise ValueError(f"a dimension cannot be named '{name}': scores have another field of that name")
    if dimensions and not any(one.weight for one in dimensions):
        raise ValueError("no dimension has a weight above 0")


def overall(scores: Mapping[str, int], dimensions: Collection[Dimension]) -> float:
    """The mean of the marks, each as much as its dimension weighs, to two decimals."""
    total = sum(scores[one.name] * one.weight for one in dimensions)
    return round(total / sum(one.weight for one in dimensions), 2)
