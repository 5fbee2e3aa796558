"""Whether a model went round in circles: it repeated itself word by word, as far as its budget or for most of it.

A repetition is a stretch of text in which every character is the one that stands so many (the period) before it. It
is looked for at places that none that is long enough can avoid: the text there must come again a period later.
Source of the notion: Kolpakov and Kucherov, "Finding maximal repetitions in a word in linear time" (1999).
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

_REPEATS = 4
"""So often a text may come in a row only by accident; real tables, code and lists have rows that differ."""
_WINDOW = 16
_OCCURRENCES = 8
_PLACES, _MOST_APART, _LEAST_FROM_END = 8, 200, 40

# Deflate shrinks a loop, also one with small changes or a long period, below this share of its bytes. Prose of at least
# so many characters keeps a third or more; ten repetitions of a sentence keep less than a tenth.
_PACKED_FROM_CHARACTERS = 400
_PACKED_BELOW_SHARE = 0.08


@dataclass(frozen=True)
class _Limits:
    """From how many characters on a repetition makes a loop of a text."""

    nearly_all: int
    """Where it is four fifths of the text."""
    most: int
    """Where it is half of the text, or the text was cut in the middle of it."""
    anywhere: int


_OF_WORDS = _Limits(nearly_all=80, most=160, anywhere=1000)
_OF_DENSE_SCRIPT = _Limits(nearly_all=40, most=80, anywhere=500)  # a character of Chinese says as much as a word's half
_OF_SIGNS = _Limits(nearly_all=160, most=320, anywhere=2000)  # rules of dashes, empty cells, rows of zeros


@dataclass(frozen=True)
class Repetition:
    """Characters `begin` to `end` of a text, in which a unit of `period` characters comes again and again."""

    begin: int
    end: int
    period: int

    @property
    def length(self) -> int:
        return self.end - self.begin


def is_loop(text: str, cut: bool = False) -> bool:
    """Whether a text repeats itself so that it is of no use; `cut` says that it was cut at its budget."""
    text = text.strip()
    if len(text) >= _PACKED_FROM_CHARACTERS:
        packed = text.encode("utf-8", "replace")
        if len(zlib.compress(packed)) < _PACKED_BELOW_SHARE * len(packed):
            return True
    return repeats_itself(text, cut)


def repeats_itself(text: str, cut: bool = False) -> bool:
    """The same of loops in which nothing changes, ten times faster."""
    text = text.strip()
    return any(_is_too_much(found, text, cut) for found in _repetitions(text))


def _is_too_much(found: Repetition, text: str, cut: bool) -> bool:
    limits = _limits(text[found.begin : found.begin + found.period])
    share = found.length / len(text)
    goes_on = cut and found.end == len(text)
    return (
        found.length >= limits.anywhere
        or (found.length >= limits.most and (share >= 0.5 or goes_on))
        or (found.length >= limits.nearly_all and share >= 0.8)
    )


def _limits(unit: str) -> _Limits:
    letters = [character for character in unit if character.isalpha()]
    if not letters:
        return _OF_SIGNS
    return _OF_DENSE_SCRIPT if all(character >= "\u2e80" for character in letters) else _OF_WORDS


def _repetitions(text: str) -> Iterator[Repetition]:
    """Among the repetitions of at least four units, all that are half of the text, its end, or long."""
    passed = 0
    for place in _places(len(text)):
        if place < passed:
            continue
        window, again = text[place : place + _WINDOW], place
        for _ in range(_OCCURRENCES):
            again = text.find(window, again + 1)
            if again < 0:
                break
            found = _around(text, place, again - place)
            if found.length >= _REPEATS * found.period:
                passed = found.end
                yield found
                break


def _places(length: int) -> list[int]:
    """Where to look: of any such repetition at least one of these lies in the first half."""
    apart = max(1, min(length // _PLACES, _MOST_APART))
    from_end = (length - _LEAST_FROM_END * 2**step for step in range(length.bit_length()))
    places = {*range(0, length, apart), *(place for place in from_end if place > 0)}
    return sorted(place for place in places if place <= length - _WINDOW)


def _around(text: str, place: int, period: int) -> Repetition:
    """The repetition of this period that a place is in, which may be of little more than one unit."""
    begin, end = place, place + period
    while begin > 0 and text[begin - 1] == text[begin - 1 + period]:
        begin -= 1
    step = 1
    while step and end < len(text):  # ever longer stretches at once, then shorter ones up to the first that differs
        step = min(step, len(text) - end)
        if text.startswith(text[end - period : end - period + step], end):
            end, step = end + step, 2 * step
        else:
            step //= 2
    return Repetition(begin, end, period)
