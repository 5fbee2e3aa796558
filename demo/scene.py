"""What a drawing shows, in words: the ground truth from which answers, captions and corrupted captions are made.

A `Statement` is a sentence pattern; a `Claim` fills its slots; a drawing is a picture or clip with its true claims. The
same patterns write a caption and read it back into facts, so nothing else needs to understand captions.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

SIDE = 448
"""Width and height of a drawing in logical pixels; the demo model sees pictures at half of it."""

CLIP_SIDE = 224
"""The same for clips; each frame is seen at half of it."""

SPLITS = ("train", "demo", "eval", "test")
"""What drawings are for."""

Fact = tuple[str, ...]
_AGREEMENT = re.compile(r"\(([^()|]*)\|([^()|]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Statement:
    """A pattern of claims.

    `note` is how an agent notes it, `sentence` how the caption says it; `{slot}` stands for one of `choices[slot]`, and
    `(a|b)` for `a` where the slot `count` is "one" and for `b` otherwise. `key` names the slots that tell several
    claims of this pattern in one drawing apart (the side, the row's label); without it there is at most one. `agent`
    notes it.
    """

    name: str
    agent: str
    note: str
    sentence: str
    choices: Mapping[str, tuple[str, ...]]
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for pattern in (self.note, self.sentence):
            if set(_SLOT.findall(pattern)) != set(self.choices):
                raise ValueError(f"statement '{self.name}': the slots of '{pattern}' are not those of its choices")
        if not self.sentence.endswith("."):
            raise ValueError(f"statement '{self.name}': the sentence has no full stop at its end")

    def __call__(self, **values: str) -> "Claim":
        """A claim with these values.

        Raises:
            ValueError: a slot is missing or unknown, or a value is none of its choices.
        """
        if set(values) != set(self.choices):
            raise ValueError(f"statement '{self.name}' has the slots {sorted(self.choices)}, not {sorted(values)}")
        for slot, value in values.items():
            if value not in self.choices[slot]:
                raise ValueError(f"statement '{self.name}': '{value}' is no choice of '{slot}'")
        return Claim(self, values)

    @cached_property
    def reader(self) -> re.Pattern[str]:
        """Matches the sentences of this pattern, with a group for every slot."""
        pattern = _AGREEMENT.sub(lambda match: f"\0({match[1]}|{match[2]})\0", self.sentence)
        parts = []
        for part in re.split(r"(\0.*?\0|\{\w+\})", pattern):
            if part.startswith("\0"):
                parts.append("(?:" + "|".join(re.escape(form) for form in part[2:-2].split("|")) + ")")
            elif part.startswith("{"):
                values = sorted(self.choices[part[1:-1]], key=len, reverse=True)
                parts.append(f"(?P<{part[1:-1]}>" + "|".join(map(re.escape, values)) + ")")
            else:
                parts.append(re.escape(part))
        return re.compile("".join(parts))


@dataclass(frozen=True)
class Claim:
    """A statement with its slots filled; true of a drawing, unless it was corrupted."""

    statement: Statement
    values: Mapping[str, str]

    def note(self) -> str:
        return self._fill(self.statement.note)

    def sentence(self) -> str:
        return self._fill(self.statement.sentence)

    def _fill(self, pattern: str) -> str:
        form = 1 if self.values.get("count") == "one" else 2
        return _AGREEMENT.sub(lambda match: match[form], pattern).format(**self.values)

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it apart from the drawing's other claims."""
        return (self.statement.name, *(self.values[slot] for slot in self.statement.key))

    def facts(self) -> set[Fact]:
        """That it is there, and one fact for each slot that is not part of its key."""
        others = [slot for slot in self.values if slot not in self.statement.key]
        return {self.key} | {(*self.key, slot, self.values[slot]) for slot in others}

    def with_value(self, slot: str, value: str) -> "Claim":
        return replace(self, values={**self.values, slot: value})


@dataclass(frozen=True)
class Picture:
    """A still and all that is to be said about it, in the caption's order."""

    image: Image.Image
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Clip:
    """A clip and all that is to be said about it; `frame(share)` draws it at a share (0 to 1) of its duration."""

    frame: Callable[[float], Image.Image]
    claims: tuple[Claim, ...]


Drawing = Picture | Clip


@dataclass(frozen=True)
class Kind:
    """A kind of drawing: where the router should put it, all that can be said of it, and what draws it.

    `draw(rng, scale)` draws one at `scale` times the logical size: 1 for training, more for smooth edges.
    """

    name: str
    domain: str
    subdomain: str
    statements: tuple[Statement, ...]
    draw: Callable[[np.random.Generator, int], Drawing]


def stream(split: str, *numbers: int) -> np.random.Generator:
    """The random numbers of one drawing of a split; `numbers` (a seed, a domain, an item) tell its drawings apart.

    No two splits share a drawing's random stream, so what is drawn for "eval" was never drawn for "train".
    """
    return np.random.default_rng([SPLITS.index(split), *numbers])


def notes(claims: Iterable[Claim], agent: str | None = None) -> str:
    """What an agent (or all of them) notes of the claims."""
    return "; ".join(claim.note() for claim in claims if agent in (None, claim.statement.agent)) or "nothing"


def caption(claims: Iterable[Claim]) -> str:
    """The caption that says the claims."""
    return " ".join(claim.sentence() for claim in claims)


def read_caption(text: str, statements: Iterable[Statement]) -> tuple[set[Fact], list[str]]:
    """The facts of a caption, and the sentences that fit no statement."""
    known = tuple(statements)
    facts: set[Fact] = set()
    strange = []
    for sentence in re.split(r"(?<=\.)\s+", text.strip()):
        for statement in known:
            if match := statement.reader.fullmatch(sentence):
                facts |= Claim(statement, match.groupdict()).facts()
                break
        else:
            strange.append(sentence)
    return facts, strange
