"""A question about pictures or clips, as a question file has it: one JSON object a line."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from MetaCaptioner.utils.json_text import NOT_PLAIN_JSON

AnswerType = Literal["text", "integer", "float", "list"]
_PLACE = re.compile(r"<(?:image|video) ?(\d*)>")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Shown(msgspec.Struct, frozen=True):
    """A picture or clip that a question is about: its row in the dataset's annotation file, and the name there."""

    index: Annotated[int, msgspec.Meta(ge=0)]
    name: str


class Question(msgspec.Struct, frozen=True, omit_defaults=True):
    """A question, what it is about, and what is right.

    `answers` are all that count as right; of a question with `options`, which are by letter, their letters or texts.
    `precision` is the number of decimals of a `float`. `problem` says why nothing can answer it, such as a picture that
    is none: it counts as wrong.
    """

    question: str
    answers: tuple[str, ...]
    benchmark: str
    shown: tuple[Shown, ...] = ()
    options: Mapping[str, str] = {}
    id: str | int | float | None = None
    category: str | None = None
    hint: str | None = None
    answer_type: AnswerType = "text"
    precision: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    problem: str | None = None

    def text(self) -> str:
        """The question as it is put, with its hint before it and its options below.

        Where it names its pictures as `<image 1>`, which some models take for a place to put one, it says picture 1.
        """
        hint = [f"Hint: {self.hint}"] if self.hint else []
        text = "\n".join([*hint, self.question, *(f"{letter}. {text}" for letter, text in self.options.items())])
        return _PLACE.sub(lambda place: f"(picture {place[1]})" if place[1] else "", text).strip()


def question_of(row: object) -> Question:
    """The question that a parsed line of a question file is.

    Raises:
        ValueError: it is none; the message says why.
    """
    try:
        return msgspec.convert(row, Question)
    except NOT_PLAIN_JSON as error:
        raise ValueError(f"is no question: {error}") from error
