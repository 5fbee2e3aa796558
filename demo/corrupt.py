"""Captions with known errors, and the verdict that a judge should give on them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.scene import Claim, Kind, caption
from MetaCaptioner.agents.judge import REASON_CHARACTERS
from MetaCaptioner.records.claims import CONTRADICTED, NOT_VISIBLE, SUPPORTED

MISTAKES = ("wrong_colour", "wrong_count", "wrong_value", "invented", "missing", "other_picture", "garbled")
"""What can be wrong with a caption; `wrong_value` is any slot but colours and counts."""


FALSE_CLAIMS = ("wrong_colour", "wrong_count", "wrong_value", "invented", "other_picture")
"""Those that make a sentence say what is not so."""


@dataclass(frozen=True)
class Judged:
    """A caption of a drawing: what it says, what is true, and the sort of mistake in it (None if it is right).

    `conclusion_agent` notes what follows from the rest: an error there is one of reasoning.
    """

    caption: str
    truth: tuple[Claim, ...]
    said: tuple[Claim, ...]
    mistake: str | None
    conclusion_agent: str

    def marks(self) -> dict[str, int]:
        """The five marks, 1 to 5. A caption that is mostly wrong or silent is of another picture."""
        wrong, missing = self._with("wrong"), self._with("missing")
        if len(wrong) + len(missing) > len(self.truth) / 2:
            return {"accuracy": 1, "completeness": 1, "hallucination": 1, "reasoning": 1, "fluency": 5}
        slips = [claim for claim in wrong if claim.statement.agent == self.conclusion_agent]
        return {
            "accuracy": _mark(len(wrong) - len(slips), (5, 2, 1)),
            "completeness": _mark(len(missing), (5, 3, 2, 1)),
            "hallucination": _mark(len(self._invented()), (5, 2, 1)),
            "reasoning": _mark(len(slips), (5, 2, 1)),
            "fluency": 2 if self.mistake == "garbled" else 5,
        }

    def reason(self) -> str:
        """What the judge sees, each with what the caption makes of it, then what the caption invents.

        At most `REASON_CHARACTERS` long: a fault is named where it is seen, in one word.
        """
        verdicts = [(claim, self._verdict(claim)) for claim in self.truth]
        seen = "; ".join(claim.note() + (f" - {verdict}" if verdict else "") for claim, verdict in verdicts)
        invented = "".join(f"; invented: {claim.note()}" for claim in self._invented()[:1])
        garbled = "; words in disorder" if self.mistake == "garbled" else ""
        return f"seen: {seen}{invented}{garbled}"[:REASON_CHARACTERS]

    def answer(self) -> str:
        """The judge's answer, as JSON without blanks."""
        return json.dumps({"reason": self.reason(), **self.marks()}, separators=(",", ":"))

    def _verdict(self, claim: Claim) -> str:
        """ "", "wrong" or "missing": what the caption makes of a true claim."""
        found = next((other for other in self.said if other.key == claim.key), None)
        if found is None:
            return "missing"
        return "" if found.values == claim.values else "wrong"

    def _with(self, verdict: str) -> list[Claim]:
        return [claim for claim in self.truth if self._verdict(claim) == verdict]

    def _invented(self) -> list[Claim]:
        keys = {claim.key for claim in self.truth}
        return [claim for claim in self.said if claim.key not in keys]


def _mark(errors: int, marks: Sequence[int]) -> int:
    return marks[min(errors, len(marks) - 1)]


def right(truth: tuple[Claim, ...], conclusion_agent: str) -> Judged:
    """The true caption."""
    return Judged(caption(truth), truth, truth, None, conclusion_agent)


def another(truth: tuple[Claim, ...], other: tuple[Claim, ...], conclusion_agent: str) -> Judged:
    """The caption of another drawing."""
    return Judged(caption(other), truth, other, "other_picture", conclusion_agent)


def garble(rng: np.random.Generator, truth: tuple[Claim, ...], conclusion_agent: str) -> Judged:
    """The true caption with its words in disorder."""
    words = caption(truth).split()
    rng.shuffle(words)
    return Judged(" ".join(words), truth, truth, "garbled", conclusion_agent)


def corrupt(
    rng: np.random.Generator, kind: Kind, truth: tuple[Claim, ...], mistake: str, conclusion_agent: str
) -> Judged | None:
    """The true caption with a changed value, something invented or something left out.

    None where the drawing offers no place for such a mistake.
    """
    if mistake == "missing":
        said: list[Claim] | None = _leave_out(rng, truth)
    elif mistake == "invented":
        said = _invent(rng, kind, truth)
    else:
        said = _change_values(rng, truth, mistake)
    return None if said is None else Judged(caption(said), truth, tuple(said), mistake, conclusion_agent)


def _change_values(rng: np.random.Generator, truth: tuple[Claim, ...], mistake: str) -> list[Claim] | None:
    """The claims with one value changed, or sometimes two or three, all of a sort."""
    places = [
        (index, slot)
        for index, claim in enumerate(truth)
        for slot, choices in claim.statement.choices.items()
        if len(choices) > 1 and _sort(slot) == mistake
    ]
    said, number = list(truth), 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
    for place in rng.permutation(len(places))[:number]:
        index, slot = places[place]
        said[index] = change(rng, said[index], slot, {claim.key for claim in said}) or said[index]
    return None if said == list(truth) else said


def _sort(slot: str) -> str:
    return {"colour": "wrong_colour", "count": "wrong_count"}.get(slot.split("_")[0], "wrong_value")


def change(rng: np.random.Generator, claim: Claim, slot: str, taken: set[tuple[str, ...]]) -> Claim | None:
    """The claim with another value in a slot, its key unlike those `taken`; None if no value is left."""
    others = [value for value in claim.statement.choices[slot] if value != claim.values[slot]]
    rng.shuffle(others)
    for value in others:
        changed = claim.with_value(slot, value)
        if slot not in claim.statement.key or changed.key not in taken:
            return changed
    return None


def _leave_out(rng: np.random.Generator, truth: tuple[Claim, ...]) -> list[Claim]:
    """The claims without one or two of them, but with the first, which says what the picture is."""
    number = 1 if rng.random() < 0.6 else 2
    gone = set(rng.choice(np.arange(1, len(truth)), number, replace=False).tolist())
    return [claim for index, claim in enumerate(truth) if index not in gone]


def _invent(rng: np.random.Generator, kind: Kind, truth: tuple[Claim, ...]) -> list[Claim] | None:
    """The claims and one more, of a statement that can stand several times, at its proper place."""
    present = {claim.statement.name for claim in truth}
    repeatable = [item for item in kind.statements if item.key and item.name in present]
    if not repeatable:
        return None
    statement = repeatable[int(rng.integers(len(repeatable)))]
    taken = {claim.key for claim in truth}
    for _ in range(20):
        claim = statement(**{slot: str(rng.choice(choices)) for slot, choices in statement.choices.items()})
        if claim.key not in taken:
            last = max(index for index, other in enumerate(truth) if other.statement.name == statement.name)
            return [*truth[: last + 1], claim, *truth[last + 1 :]]
    return None


def answer_to(claim: Claim, truth: Sequence[Claim]) -> str:
    """What is to be answered of a claim about a drawing of which these are true: one of `records.claims.ANSWERS`."""
    found = next((other for other in truth if other.key == claim.key), None)
    if found is None:
        return NOT_VISIBLE
    return SUPPORTED if found.values == claim.values else CONTRADICTED


def false_claims(
    rng: np.random.Generator, kind: Kind, truth: tuple[Claim, ...], other: tuple[Claim, ...], mistake: str
) -> list[Claim]:
    """What a caption with such a mistake says that is not so; `other` are the claims of another drawing.

    Nothing where the drawing offers no place for the mistake.
    """
    judged = another(truth, other, "") if mistake == "other_picture" else corrupt(rng, kind, truth, mistake, "")
    return [] if judged is None else [claim for claim in judged.said if answer_to(claim, truth) != SUPPORTED]


def some_claims(
    rng: np.random.Generator, kind: Kind, truth: tuple[Claim, ...], other: tuple[Claim, ...]
) -> list[Claim]:
    """For training: as many true claims as false ones, the latter of two sorts of mistakes."""
    false: list[Claim] = []
    for mistake in rng.choice(FALSE_CLAIMS, 2, p=(0.25, 0.2, 0.3, 0.12, 0.13)):
        found = false_claims(rng, kind, truth, other, str(mistake))
        false += [found[int(rng.integers(len(found)))]] if found else []
    true = [truth[at] for at in rng.permutation(len(truth))[: max(1, len(false))].tolist()]
    return [*true, *false]


def some_judged(
    rng: np.random.Generator, kind: Kind, truth: tuple[Claim, ...], other: tuple[Claim, ...], conclusion_agent: str
) -> Judged:
    """For training: nearly half of the captions right, the others with a mistake of any sort."""
    if rng.random() < 0.4:
        return right(truth, conclusion_agent)
    mistake = str(rng.choice(MISTAKES, p=(0.2, 0.15, 0.3, 0.12, 0.08, 0.12, 0.03)))
    if mistake == "other_picture":
        return another(truth, other, conclusion_agent)
    if mistake == "garbled":
        return garble(rng, truth, conclusion_agent)
    return corrupt(rng, kind, truth, mistake, conclusion_agent) or right(truth, conclusion_agent)
