"""The engine protocol: a request goes in, a completion comes out. Only this package knows an inference library."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from MetaCaptioner.media.loader import Media

SYSTEM_MESSAGE = (
    "You are a careful visual observer. You report what can be seen, in plain and precise English, "
    "and you say so when something cannot be made out."
)
"""Constant for all agents, the router and the judge: the shared prompt prefix begins with it."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. `max_tokens` bounds its length in tokens."""

    max_tokens: int = 256
    temperature: float = 0.2
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int | None = None


@dataclass(frozen=True)
class Constraint:
    """What an answer may be: one of `choices`, or JSON that fits `json_schema`. Exactly one of them is set."""

    choices: tuple[str, ...] | None = None
    json_schema: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Request:
    """One question. All requests with the same media share the prompt up to and including the media.

    `priority`: lower goes first. `request_id` is unique among the requests in flight. `model` is the name that a
    configuration has for the one that is asked, where there are several.
    """

    request_id: str
    instruction: str
    media: Media | None
    sampling: Sampling
    constraint: Constraint | None = None
    priority: int = 0
    model: str = ""


@dataclass(frozen=True)
class Completion:
    """An answer.

    `finish_reason` is "stop" (complete), "length" (cut at its budget) or "repetition" (ended as it went round in
    circles). `first_token_probabilities` maps the texts that the first token could have been to their probabilities; it
    is filled for answers constrained to choices, and None where the engine does not tell them. `reasoning` is what the
    model said before its answer, where that is to be kept. `model` is what records name as who gave it, where that is
    another than the default.
    """

    text: str
    finish_reason: Literal["stop", "length", "repetition"]
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    first_token_probabilities: Mapping[str, float] | None = field(default_factory=dict)
    reasoning: str = ""
    model: str = ""

    def shares(self, choices: Mapping[str, Collection[str]]) -> dict[str, float]:
        """The probability mass of some groups of choices, which add up to 1; nothing where it is not known.

        Choices of two groups begin with other letters, so that a first token belongs to one of them, whatever the
        model's tokenizer.
        """
        mass = dict.fromkeys(choices, 0.0)
        for token, probability in (self.first_token_probabilities or {}).items():
            begun = token.strip()
            for name, group in choices.items():
                if begun and any(choice.startswith(begun) for choice in group):
                    mass[name] += probability
        whole = sum(mass.values())
        if not (whole > 0 and math.isfinite(whole)):  # a NaN is not greater than anything
            return {}
        return {name: share / whole for name, share in mass.items()}


class Engine(Protocol):
    """What a rank needs of an inference engine."""

    @property
    def cache_tokens(self) -> int | None:
        """How many tokens of prompts and answers can be worked on at a time; None where there is no such limit."""
        ...

    @property
    def arguments(self) -> Mapping[str, object]:
        """All that it was made with, for the run to tell."""
        ...

    @property
    def chosen_for_speed(self) -> tuple[str, ...]:
        """What was chosen for the GPU and the model, for the user to see, in the form that `--engine-arg` takes."""
        ...

    @property
    def pixel_multiple(self) -> int | None:
        """Width and height of media should be multiples of this many pixels, or the model's processor resizes again;
        None where that is not known."""
        ...

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            SampleError: this request cannot be answered (`prompt_too_long`, …); others can.
            EngineDead: nothing can be answered any more.
        """
        ...

    def media_tokens(self, media: Media) -> int | None:
        """How many tokens of a prompt that picture or clip is; None where that is not known, or it takes none."""
        ...

    def progress(self) -> int:
        """A number that grows as long as the engine is not hung: with every token that has come for any request, also
        for one in flight; where each request ends within a time of its own, at any time.

        Asked about once a second, so it must cost little.
        """
        ...

    def stop_waiting(self) -> None:
        """Give up the requests that are not worked on and will not be soon, by cancelling them: the run is to stop."""
        ...

    def close(self) -> None:
        """End the engine and its processes."""
        ...
