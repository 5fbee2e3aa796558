"""What of a text is its answer: the part that says it, and the number that it is."""

import re
from contextlib import suppress

_SAID = re.compile(r"\b(?:final\s+)?answer(?:\s+is\s*:?|\s*:)\s*", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\s*\{")
_MARKS = " \t\r\n*`\"'“”‘’"
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*\{([^{}]+)\}\s*\{([^{}]+)\}")
_PLAIN_FRACTION = re.compile(r"([-+]?\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)")
_NUMBERS = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?(?![\w])")
_LONGEST_ANSWER = 10_000


def stated(answer: str) -> str:
    """What an answer says its answer is, or all of it. Quotes, bold type and a full stop at the end are none of it."""
    text = answer if (apart := stated_apart(answer)) is None else apart
    return text.strip(_MARKS).removesuffix(".").strip(_MARKS)


def stated_apart(answer: str) -> str | None:
    """What is in LaTeX's `\\boxed{}`, or follows the last "answer is" or "answer:" in its line; None without these."""
    text = answer[-_LONGEST_ANSWER:]
    if boxed := _in_braces(text):
        return boxed
    found = list(_SAID.finditer(text))
    return text[found[-1].end() :].strip().split("\n")[0] if found else None


def _in_braces(text: str) -> str:
    """What is in the last `\\boxed{}`, braces within it included."""
    if not (found := list(_BOXED.finditer(text))):
        return ""
    begin, depth = found[-1].end(), 1
    for place in range(begin, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return text[begin:place]
    return ""


def number_of(text: str) -> float | None:
    """The number that a whole text is: "1,000", "-3.5", "$2", "3%" (0.03), "1/2", "\\frac{1}{2}"; None where none."""
    plain = _THOUSANDS.sub("", text.strip().strip("$").replace("\\$", "").replace("\\%", "%").strip())
    plain = _LATEX_FRACTION.sub(r"\1/\2", plain).replace("−", "-")
    share = 100.0 if plain.endswith("%") else 1.0
    plain = plain.removesuffix("%").strip()
    with suppress(ValueError, OverflowError):
        if fraction := _PLAIN_FRACTION.fullmatch(plain):
            divisor = float(fraction[2])
            return float(fraction[1]) / divisor / share if divisor else None
        number = float(plain) / share
        return number if abs(number) < float("inf") else None
    return None


def numbers_in(text: str) -> list[float]:
    """The numbers that stand in a text, thousands with or without separators."""
    found = (number_of(match[0]) for match in _NUMBERS.finditer(text[-_LONGEST_ANSWER:]))
    return [number for number in found if number is not None]


def as_latex_says(text: str) -> str:
    """A text without what LaTeX and spaces do to its looks only, for comparing: `$\\frac{1}{2}$` is `1/2`."""
    plain = _LATEX_FRACTION.sub(r"\1/\2", text)
    plain = re.sub(r"\\(?:left|right|displaystyle|quad|[,;! ()\[\]])|\$", "", plain)
    plain = re.sub(r"\\(?:text|mathrm|mathbf)\s*\{([^{}]*)\}", r"\1", plain)
    plain = plain.replace("\\sqrt", "√").replace("\\pi", "π").replace("^{\\circ}", "°").replace("^\\circ", "°")
    plain = re.sub(r"√\s*\{([^{}]*)\}", r"√\1", plain)
    return re.sub(r"\s+", "", plain).casefold().removesuffix(".")
