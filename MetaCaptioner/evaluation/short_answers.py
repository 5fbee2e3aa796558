"""What short answers are worth that are texts or numbers: edit distance, relaxed numbers, numbers by precision."""

import ast
import math
import re
from collections.abc import Iterable, Sequence

from MetaCaptioner.evaluation.answer_texts import number_of, numbers_in

_ANLS_THRESHOLD = 0.5
_RELAXED = 0.05
_OPEN_DECIMALS = 2
_LONGEST_COMPARED = 2_000
_LEADS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_LIST = re.compile(r"\[[^\[\]]*\]")


def anls(answer: str, truths: Iterable[str]) -> float:
    """1 less the normalized edit distance to the nearest right answer, case and spaces aside; 0 if that is below 0.5.

    Source: ST-VQA (Biten et al., ICCV 2019), equation 1, as the evaluation program of DocVQA and InfographicVQA has it
    (Mathew et al., WACV 2021 and 2022), by which a half is not below the threshold.
    """
    said = " ".join(answer.casefold().split())[:_LONGEST_COMPARED]
    best = max((_likeness(said, " ".join(truth.casefold().split())) for truth in truths), default=0.0)
    return best if best >= _ANLS_THRESHOLD else 0.0


def _likeness(one: str, other: str) -> float:
    longest = max(len(one), len(other))
    return 1.0 - distance(one, other[:_LONGEST_COMPARED]) / longest if longest else 0.0


def distance(one: str, other: str) -> int:
    """How many characters must be put in, taken out or changed to make one text of another (Levenshtein, 1966)."""
    row = list(range(len(other) + 1))
    for number, character in enumerate(one, start=1):
        before, row[0] = row[0], number
        for place, another in enumerate(other, start=1):
            before, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, before + (character != another))
    return row[-1]


def relaxed(answer: str, truths: Iterable[str]) -> float:
    """1 where a number is within 5 percent of a right one, or a text the same but for case. "3%" is 0.03.

    Source: ChartQA (Masry et al., Findings of ACL 2022), section 5.1; percents as `relaxed_correctness` of pix2struct
    has them. Thousands may have separators, since what is compared are numbers.
    """
    return float(any(_is_near(answer, truth) for truth in truths))


def _is_near(answer: str, truth: str) -> bool:
    said, right = number_of(answer), number_of(truth)
    if said is None or not right:
        return answer.strip().casefold() == truth.strip().casefold() or (said is not None and said == right)
    return abs(said - right) <= _RELAXED * abs(right) * (1 + 1e-9)


def by_precision(answer: str, truth: str, decimals: int) -> tuple[str, float]:
    """(the number taken, 1 where it is the right one): both rounded to so many decimals, the last number in the answer.

    Source: MathVista (Lu et al., ICLR 2024), `normalize_extracted_answer` of its `calculate_score.py`: an integer is
    cut, a float rounded to the question's precision. There a language model takes the number out of the answer.
    """
    right, found = number_of(truth), number_of(answer)
    numbers = [found] if found is not None else numbers_in(answer)
    if not numbers or right is None:
        return "", 0.0
    said = _rounded(numbers[-1], decimals)
    return f"{said:.{decimals}f}", float(math.isclose(said, _rounded(right, decimals), abs_tol=1e-12))


def _rounded(number: float, decimals: int) -> float:
    return float(math.trunc(number)) if decimals == 0 else round(number, decimals)


def same_list(answer: str, truth: str) -> tuple[str, float]:
    """(the list taken, 1 where it is the right one, in order). Without brackets its numbers are the list.

    Source: MathVista, as `by_precision`: a list is compared as Python writes it.
    """
    right = _as_list(truth)
    written = _LIST.findall(answer)
    said = _as_list(written[-1]) if written else [*numbers_in(answer)]
    return str(said), float(bool(right) and said == right)


def _as_list(text: str) -> Sequence[object]:
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    items = value if isinstance(value, list) else []
    return [float(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in items]


def open_answer(answer: str, truths: Iterable[str]) -> float:
    """1 where what an answer concludes holds a right text, or is a right number to two decimals.

    Concluded is the shortest end of each of its sentences behind words such as "is" or "answer" (in the last one also
    behind "="), with the numbers there; the whole answer where there are no such words.

    Source: MMMU, `parse_open_response` and `eval_open` of its `eval_utils.py`.
    """
    sentences = [one for one in re.split(r"\.\s+(?=[A-Z])|\n", answer.strip().removesuffix(".")) if one.strip()]
    ends = [end for place, one in enumerate(sentences) if (end := _conclusion(one, place == len(sentences) - 1))]
    said = ends or [answer.strip().removesuffix(".").lower()]
    numbers = {round(number, _OPEN_DECIMALS) for one in said for number in _all_numbers(one)}
    return float(any(_concludes(truth, said, numbers) for truth in truths))


def _all_numbers(text: str) -> list[float]:
    whole = number_of(text)
    return [*numbers_in(text), *([whole] if whole is not None else [])]


def _conclusion(sentence: str, is_last: bool) -> str:
    text = sentence.lower()
    ends = [text.rsplit(lead, 1)[1].strip() for lead in (*_LEADS, *(["="] if is_last else [])) if lead in text]
    return min((end for end in ends if end.strip(":,.!?;'")), key=len, default="")


def _concludes(truth: str, said: Sequence[str], numbers: set[float]) -> bool:
    if (right := number_of(truth)) is not None:
        return round(right, _OPEN_DECIMALS) in numbers
    text = truth.strip().lower()
    if len(text) == 1:  # else any answer that has the letter in a word
        return any(text in one.split() for one in said)
    return bool(text) and any(text in one for one in said)
