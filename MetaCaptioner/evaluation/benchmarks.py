"""The benchmarks by name: what each asks for, and what an answer is worth by its published rules."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from MetaCaptioner.data.question import LETTERS, Question
from MetaCaptioner.evaluation.answer_texts import as_latex_says, number_of, stated
from MetaCaptioner.evaluation.choices import chosen, first_letter, letter_of
from MetaCaptioner.evaluation.short_answers import anls, by_precision, distance, open_answer, relaxed, same_list

CANNOT = "Cannot answer from the caption"
_CANNOT_GAINS = 0.05
_YES_OR_NO = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|have|has|had|can|could|will|would|should|shall|may|might|must) ", re.IGNORECASE
)
_CHOICES_IN_TEXT = re.compile(r"^\(?([A-H])\)?\s*[.:)]", re.MULTILINE)

Form = Literal["choice", "word", "number", "list", "text", "sentence"]
"""What the answer should be, as the prompt asks for it."""


@dataclass(frozen=True)
class Marked:
    """What of an answer is taken for the answer, and its mark from 0 to 1; None where a judge is to say."""

    taken: str
    mark: float | None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: the column of the table, its rule, and whom it asks where the rule cannot say.

    `judged` by grade is from 0 to 1 in tenths, by sameness 0 or 1. `names` are those of its files. `cannot` puts an
    option more to each question that is no yes or no, and puts the options in another order.
    """

    name: str
    mark: Callable[[str, Question], Marked]
    open_form: Form = "word"
    judged: Literal["", "grade", "same"] = ""
    names: tuple[str, ...] = ()
    cannot: bool = False

    def asked(self, question: Question) -> Question:
        """The question as it is put."""
        return _with_cannot(question) if self.cannot and question.options else question

    def form(self, question: Question) -> Form:
        """What the answer to a question should be."""
        if question.options or letters_in(question):
            return "choice"
        numbers: Mapping[str, Form] = {"integer": "number", "float": "number", "list": "list"}
        return numbers.get(question.answer_type, self.open_form)


def letters_in(question: Question) -> Mapping[str, str]:
    """The options of a question; where they stand in its text only, their letters, if a letter is the right answer."""
    if question.options:
        return question.options
    found = dict.fromkeys(_CHOICES_IN_TEXT.findall(question.question), "")
    is_letter = all(re.fullmatch(r"\(?[A-H]\)?", answer.strip()) for answer in question.answers)
    return found if len(found) > 1 and question.answers and is_letter else {}


def _by_letter(letter: str | None, question: Question) -> Marked:
    right = {letter_of(answer, letters_in(question)) for answer in question.answers} - {None}
    return Marked(letter or "", float(letter is not None and letter in right))


def _choice(answer: str, question: Question) -> Marked:
    return _by_letter(chosen(answer, letters_in(question)), question)


def mmmu(answer: str, question: Question) -> Marked:
    """MMMU (Yue et al., CVPR 2024): options by `chosen`, open questions by `open_answer`; AI2D has options alone."""
    if letters_in(question):
        return _choice(answer, question)
    return Marked(stated(answer), open_answer(answer, question.answers))


def chartqa(answer: str, question: Question) -> Marked:
    """ChartQA: relaxed accuracy of what the answer states."""
    said = stated(answer)
    return Marked(said, relaxed(said, question.answers))


def infovqa(answer: str, question: Question) -> Marked:
    """InfographicVQA: ANLS of what the answer states."""
    said = stated(answer)
    return Marked(said, anls(said, question.answers))


def mathvista(answer: str, question: Question) -> Marked:
    """MathVista (Lu et al., ICLR 2024), `calculate_score.py`: by the type of the answer.

    Of options the one that is chosen, or the one whose text is nearest to the answer; integers, floats and lists as
    `by_precision` and `same_list` have them; texts as they are. What its program has a language model take out of the
    answer is here what the answer states.
    """
    said = stated(answer)
    if question.options:
        letter = chosen(answer, question.options)
        if letter is None and said:
            letter = min(question.options, key=lambda one: distance(said[:500], question.options[one][:500]))
        return _by_letter(letter, question)
    truth = question.answers[0] if question.answers else ""
    if question.answer_type == "list":
        return Marked(*same_list(answer, truth))
    if question.answer_type in ("integer", "float"):
        decimals = 0 if question.answer_type == "integer" else 1 if question.precision is None else question.precision
        taken = by_precision(said, truth, decimals)
        return Marked(*(taken if taken[0] else by_precision(answer, truth, decimals)))
    return Marked(said, float(any(said.casefold() == one.strip().casefold() for one in question.answers)))


def mathverse(answer: str, question: Question) -> Marked:
    """MathVerse (Zhang et al., ECCV 2024): what is taken out is compared, and where it is not equal a judge says.

    A chosen letter needs no judge. What differs in LaTeX's looks only, and a number that is the same, is equal.
    """
    if letters_in(question):
        return _choice(answer, question)
    said = stated(answer)
    number = number_of(said)
    for truth in question.answers:
        if said and as_latex_says(said) == as_latex_says(truth):
            return Marked(said, 1.0)
        if number is not None and number == number_of(truth):
            return Marked(said, 1.0)
    return Marked(said, None if said else 0.0)


def mmvet(answer: str, question: Question) -> Marked:
    """MM-Vet (Yu et al., ICML 2024): a judge gives 0 to 1 in tenths; an empty answer is worth nothing."""
    return Marked(answer.strip(), None if answer.strip() else 0.0)


def videomme(answer: str, question: Question) -> Marked:
    """Video-MME (Fu et al., CVPR 2025): the first option letter."""
    letters = "".join(question.options) or "ABCD"
    return _by_letter(first_letter(answer, letters), question)


def captionqa(answer: str, question: Question) -> Marked:
    """CaptionQA (Yang et al., arXiv 2511.21025), section 3.4: 1 for the right option, 0 for a wrong one.

    To say that the caption does not tell is worth 1/K + 0.05 with K options: a little more than a guess.
    """
    letter = chosen(answer, question.options)
    if letter is not None and question.options.get(letter) == CANNOT:
        return Marked(letter, 1 / (len(question.options) - 1) + _CANNOT_GAINS)
    return _by_letter(letter, question)


def plain(answer: str, question: Question) -> Marked:
    """Of no benchmark: the option that is chosen, or what the answer states, the same but for case."""
    if question.options:
        return _choice(answer, question)
    said = stated(answer)
    number = number_of(said)
    same = any(said.casefold() == truth.strip().casefold() for truth in question.answers if truth.strip())
    equal = number is not None and any(number == number_of(truth) for truth in question.answers)
    return Marked(said, float(same or equal))


def _with_cannot(question: Question) -> Question:
    """A question of CaptionQA as its program (`qa.py`) puts it: with one option more, and in another order, the same
    each time. Yes or no, by the options or the question's first word, get none more."""
    texts = " ".join(question.options.values()).casefold()
    is_yes_or_no = ("yes" in texts and "no" in texts) or _YES_OR_NO.match(question.question)
    told = [*question.options.items(), *([] if is_yes_or_no else [("", CANNOT)])]
    random.Random(question.question).shuffle(told)
    right = {letter_of(answer, question.options) for answer in question.answers}
    options = {letter: text for letter, (_, text) in zip(LETTERS, told, strict=False)}
    answers = tuple(letter for letter, (before, _) in zip(LETTERS, told, strict=False) if before in right)
    return msgspec.structs.replace(question, options=options, answers=answers)


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("MMMU", mmmu),
        Benchmark("MMVet", mmvet, open_form="sentence", judged="grade", names=("mmvet",)),
        Benchmark("MathVerse", mathverse, open_form="text", judged="same"),
        Benchmark("MathVista", mathvista),
        Benchmark("ChartQA", chartqa),
        Benchmark("InfoVQA", infovqa, names=("infographicvqa",)),
        Benchmark("AI2D", mmmu),
        Benchmark("VideoMME", videomme),
        Benchmark("CaptionQA", captionqa, cannot=True),
        Benchmark("other", plain),
    )
}
"""In the order of the columns of the table."""
OTHER = "other"


def benchmark_of(name: str) -> str:
    """The benchmark that a file or dataset is by its name, such as `MMMU_DEV_VAL.tsv`; `other` where it is none."""
    plain_name = re.sub(r"[\W_]", "", name).casefold()
    known = {alias: one.name for one in BENCHMARKS.values() for alias in (one.name.casefold(), *one.names)}
    return next((known[alias] for alias in known if alias in plain_name and known[alias] != OTHER), OTHER)
