"""Where sentences end, of any language, in a line of text: by its signs and the words before and behind them.

Where it is not sure they stay one: two sentences asked about together cost less than half of one. Of libraries for this
pysbd is not kept up, and sentencex (1.0.32) ends the process at some blanks of Unicode.
"""

import re
from collections.abc import Iterator

_STOPS = ".!?…"
"""They end a sentence before a blank or at the end of the text."""
_WIDE_STOPS = "。！？｡．।॥؟۔"
"""They do so without a blank behind them, as Chinese, Japanese and others write it."""
_CLOSERS = "\"'”’»)]}*_」』）】"
_OPENERS = "\"'“‘„«([{*_「『（【¿¡#"
_END = re.compile(rf"(?:[{_STOPS}]+[{re.escape(_CLOSERS)}]*(?=\s|$)|[{_WIDE_STOPS}]+[{re.escape(_CLOSERS)}]*)\s*")
_TOGETHER = re.compile(
    r"(?<![^\s(\[—–-])\"[^\"\n]{1,300}\"|“[^”\n]{1,300}”|„[^“”\n]{1,300}[“”]|«[^»\n]{1,300}»|「[^」\n]{1,300}」"
    r"|『[^』\n]{1,300}』|（[^）\n]{1,300}）|\([^()\n]{1,300}\)|(?<![^\s(])'[^'\n]{1,100}'(?!\w)|‘[^’\n]{1,100}’(?!\w)"
)
"""What is quoted or in brackets: sentences end behind it, not within."""
_WORD = re.compile(r"[^\s\"'“‘„«(\[{*_]+$")
_NUMBER = re.compile(r"\(?\d{1,3}[.)]\s*$")

_BEFORE_ALL = frozenset(
    [
        *("approx", "aprox", "bzgl", "bzw", "ca", "capt", "cf", "d.h", "dr", "e.g", "env", "evtl", "gen"),
        *("ggf", "hr", "i.e", "incl", "inkl", "jr", "mme", "mr", "mrs", "ms", "mt", "prof", "resp"),
        *("rev", "sgt", "sr", "sra", "st", "vgl", "vs", "z.b", "zzgl"),
    ]
)
"""Abbreviations after which the sentence goes on."""
_BEFORE_NUMBERS = frozenset(
    [
        *("abb", "al", "art", "bd", "ch", "eq", "eqs", "est", "fig", "figs", "kap", "lt", "max", "min"),
        *("no", "nos", "nr", "p", "pg", "pp", "s", "sec", "tab", "vol", "apr", "aug", "dec", "feb"),
        *("jan", "jul", "jun", "mar", "nov", "oct", "sep", "sept"),
    ]
)
"""Those after which it goes on with a number."""
_INITIALS = re.compile(r"(?:[a-z]\.)*[a-z]$")
_BEGINNERS = frozenset(
    [
        *("a", "above", "all", "an", "and", "at", "below", "both", "but", "each", "he", "her", "here"),
        *("his", "if", "in", "it", "its", "no", "on", "one", "she", "some", "that", "the", "their"),
        *("there", "these", "they", "this", "those", "to", "two", "we", "what", "when", "while", "with", "you"),
    ]
)
"""Words, with a capital, that begin a sentence also behind initials, such as those of a point or of a country."""


def sentences(line: str) -> list[str]:
    """The sentences of a text without paragraphs, each with the blanks behind it; put together they are the text."""
    spans = [found.span() for found in _TOGETHER.finditer(line)]
    found: list[str] = []
    begin = 0
    for end in _ends(line, spans):
        part = line[begin:end]
        if found and _NUMBER.match(found[-1]):  # of an enumeration within the line
            found[-1] += part
        else:
            found.append(part)
        begin = end
    return found


def _ends(line: str, spans: list[tuple[int, int]]) -> Iterator[int]:
    """Where sentences end, the end of the text included."""
    last = 0
    for stop in _END.finditer(line):
        if stop.end() < len(line) and _is_end(line, stop, spans):
            last = stop.end()
            yield last
    if last < len(line):
        yield len(line)


def _is_end(line: str, stop: re.Match[str], spans: list[tuple[int, int]]) -> bool:
    signs = stop[0].rstrip()
    around = next(((begin, end) for begin, end in spans if begin < stop.start() < end), None)
    if around is not None and (stop.start() + len(signs) < around[1] or _is_wide(signs)):
        return False
    rest = line[stop.end() :].lstrip(_OPENERS)
    if rest[:1].islower():
        return False
    return signs.rstrip(_CLOSERS) != "." or not _is_abbreviation(line, stop.start(), rest)


def _is_wide(signs: str) -> bool:
    return signs[0] in _WIDE_STOPS


def _is_abbreviation(line: str, stop: int, rest: str) -> bool:
    """Whether a full stop is part of the word before it, as far as that and the rest of the text tell."""
    found = _WORD.search(line, max(0, stop - 40), stop)
    word = found[0].lower() if found else ""
    if word in _BEFORE_ALL:
        return True
    if word in _BEFORE_NUMBERS and rest[:1].isdigit():
        return True
    if word in ("a.m", "p.m") or not _INITIALS.match(word):
        return False
    following = re.match(r"\w+", rest)
    return following is not None and following[0].lower() not in _BEGINNERS
