"""Whether a model refused to answer: it says so at the beginning, in an answer that is little else.

What refusals begin with is listed in `refusals.yaml`, language by language. A caption may quote such words: of a sign,
of a chat on a screen. So they count at the beginning only, outside quotation marks, written as in the list but for the
first letter (signs are in capitals), and in answers that are no longer than refusals are.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

LONGEST_BYTES, SHORT_BYTES = 600, 240
"""Of an answer in UTF-8, which has three bytes for a character of Chinese, that says as much as three letters."""
_MOST_LOOKED_AT = 4 * LONGEST_BYTES
"""Characters, blanks and all."""
_OPENERS_IN_A_ROW = 3
_ALTERNATIVES = re.compile(r"\(([^()]*)\)")
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "´": "'", "`": "'"})
_MARKUP = " *_#>-"
_BETWEEN = " ,.:;!—–-，。、；！"
"""What may stand between an opener and a phrase."""
_Phrase = Annotated[str, Field(pattern=r"\S")]


class LanguageFile(BaseModel):
    """The phrases of one language, as `refusals.yaml` has them.

    `openers` may go before a phrase. `refusals` begin a refusal, `short` do so where the answer is hardly more than one
    sentence: longer ones go on with what can be seen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    openers: tuple[_Phrase, ...] = ()
    refusals: tuple[_Phrase, ...] = ()
    short: tuple[_Phrase, ...] = ()

    @field_validator("*")
    @classmethod
    def _check(cls, phrases: tuple[str, ...]) -> tuple[str, ...]:
        _pattern(phrases)
        return phrases


@dataclass(frozen=True)
class Refusals:
    """What refusals begin with; none where nothing is listed."""

    openers: re.Pattern[str] | None = None
    refusals: re.Pattern[str] | None = None
    short: re.Pattern[str] | None = None

    def is_one(self, text: str) -> bool:
        """Whether an answer is a refusal."""
        if len(text) > _MOST_LOOKED_AT:
            return False
        plain = _plain(text)
        size = len(plain.encode("utf-8", "replace"))
        if size > LONGEST_BYTES:
            return False
        beginnings = [plain]
        for _ in range(_OPENERS_IN_A_ROW):
            opened = _match(self.openers, beginnings[-1])
            if opened is None:
                break
            beginnings.append(beginnings[-1][opened.end() :].lstrip(_BETWEEN))
        patterns = [self.refusals, self.short if size <= SHORT_BYTES else None]
        return any(_match(one, beginning) for one in patterns for beginning in beginnings)


def refusals_of(languages: Iterable[LanguageFile]) -> Refusals:
    """The phrases of all languages together."""
    every = [*languages]
    return Refusals(
        _pattern(phrase for one in every for phrase in one.openers),
        _pattern(phrase for one in every for phrase in one.refusals),
        _pattern(phrase for one in every for phrase in one.short),
    )


def _match(pattern: re.Pattern[str] | None, text: str) -> re.Match[str] | None:
    """The phrase that a text begins with, with a capital letter or a small one."""
    if pattern is None or not text:
        return None
    return pattern.match(text) or pattern.match(text[0].swapcase() + text[1:])


def _plain(text: str) -> str:
    """A text with one spelling of blanks and apostrophes, without the marks that Markdown may begin it with."""
    return " ".join(unicodedata.normalize("NFC", text).translate(_APOSTROPHES).split()).lstrip(_MARKUP)


def _pattern(phrases: Iterable[str]) -> re.Pattern[str] | None:
    """Matches any of the phrases at the beginning of a text, up to the end of a word; None for none.

    Raises:
        ValueError: a phrase has a bracket that is not closed.
    """
    every = [_expression(phrase) for phrase in phrases]
    return re.compile("|".join(every)) if every else None


def _expression(phrase: str) -> str:
    parts = _ALTERNATIVES.split(_plain(phrase))
    if any(bracket in part for part in parts[::2] for bracket in "()"):
        raise ValueError(f"'{phrase}': a bracket is not closed, or within another")
    written = "".join(
        f"(?:{'|'.join(map(re.escape, part.split('|')))})" if number % 2 else re.escape(part)
        for number, part in enumerate(parts)
    )
    return rf"(?:{written})(?![a-zA-ZÀ-ÿ])"
