"""Which option an answer chooses."""

import re
from collections.abc import Collection, Mapping

from MetaCaptioner.data.question import LETTERS
from MetaCaptioner.evaluation.answer_texts import stated, stated_apart

_ALONE = re.compile(r"\W*([A-Za-z])\W*")
_BEGINS = re.compile(r"[*\s]*(?:[(\[]([A-Za-z])[)\]]|([A-Z])(?=[\s).:,*]|$))")
_BRACKETED = re.compile(r"[(\[]\s*([A-Za-z])\s*[)\]]|(?<![\w'’])([A-Za-z])\)")
_STANDING = re.compile(r"(?<![\w'’\-])([A-Z])(?![\w'’\-])(?!\s+[a-z])|(?<![\w'’\-])([A-Z])\s*$")
_FEWEST_WORDS = 6
"""Below these MMMU's rule does not look for the options' texts; an answer that is one of them counts all the same."""
_VIDEO_PREFIXES = re.compile(
    "The best answer is|The correct answer is|The answer is|The answer|The best option is|The correct option is|"
    "Best answer:|Best option:"
)


def letter_of(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option that a right answer names, by its letter or its text; None where it is none of them."""
    letter = text.strip().strip("().").upper()
    if letter in (options or LETTERS) and len(letter) == 1:
        return letter
    said = text.strip().casefold()
    return next((one for one, told in options.items() if said and told.strip().casefold() == said), None)


def chosen(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter that an answer chooses; None where it chooses none, for which MMMU's own program draws a random one.

    In this order: the answer is one letter, or one option's text; what follows "answer is" begins with a letter; a
    letter in brackets; a letter that stands alone (an "A" before a small word is the article); an option's text. Of
    several the last one counts.

    Source: MMMU (Yue et al., CVPR 2024), `parse_multi_choice_response` of its `eval_utils.py`: brackets, lone letters,
    texts in answers of more than five words, the last of several.
    """
    letters = {*(options or LETTERS)}
    said = stated(answer)
    if (one := _ALONE.fullmatch(said)) and one[1].upper() in letters:
        return one[1].upper()
    if whole := letter_of(said, options):
        return whole
    if (begins := _BEGINS.match(stated_apart(answer) or "")) and (
        letter := (begins[1] or begins[2]).upper()
    ) in letters:
        return letter
    for pattern in (_BRACKETED, _STANDING):
        found = [(match[1] or match[2]).upper() for match in pattern.finditer(answer)]
        if known := [letter for letter in found if letter in letters]:
            return known[-1]
    return _by_text(answer, options) if len(answer.split()) >= _FEWEST_WORDS else _by_text(said, options)


def _by_text(answer: str, options: Mapping[str, str]) -> str | None:
    """The option whose text comes last in an answer; of texts that end together the longest."""
    text = answer.casefold()
    places = []
    for letter, told in options.items():
        word = re.escape(told.strip().casefold())
        if word and (found := list(re.finditer(rf"(?<!\w){word}(?!\w)", text))):
            places.append((found[-1].end(), len(word), letter))
    return max(places)[2] if places else None


def first_letter(answer: str, letters: Collection[str] = "ABCD") -> str | None:
    """The first option letter anywhere in an answer, also within a word, once the usual words before one are gone.

    Source: Video-MME (Fu et al., CVPR 2025), `extract_characters_regex` of its `eval_your_results.py`.
    """
    text = _VIDEO_PREFIXES.sub("", answer)
    return next((character for character in text if character in letters), None)
