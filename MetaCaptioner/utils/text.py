"""Text from outside, in which any character may be: as it may be shown, and as a file of UTF-8 can hold it."""

import re

_LINE_ENDS = "\u2028\u2029"
_ODD = "\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
"""Controls beyond ASCII, marks that turn the direction of writing, halves of pairs of surrogates."""
ODD = re.compile(f"[{_ODD}{_LINE_ENDS}]")
_UNSHOWN = re.compile(f"[\x00-\x1f{_ODD}{_LINE_ENDS}]")
_UNSHOWN_IN_LINES = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{_ODD}]")
_HALVES = re.compile("[\ud800-\udfff]")


def shown(text: str, lines: bool = False) -> str:
    r"""The text for a terminal, a picture or a page, with what would act there instead of being seen as `\x1b`.

    That are controls (also those that C1 has for ESC sequences) and what turns the direction of writing, by which a
    name can pass for another. With `lines`, line breaks and tabs stay.
    """
    return (_UNSHOWN_IN_LINES if lines else _UNSHOWN).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def counted(number: int, thing: str) -> str:
    """So many of a thing: `1 shard`, `1,200 shards`."""
    return f"{number:,} {thing}{'s' * (number != 1)}"


def is_whole(text: str) -> bool:
    """Whether no half of a pair of surrogates is in the text, so that UTF-8 can hold it."""
    return _HALVES.search(text) is None


def whole(text: str) -> str:
    """The text with a replacement character for each half of a pair of surrogates."""
    return _HALVES.sub("\ufffd", text)
