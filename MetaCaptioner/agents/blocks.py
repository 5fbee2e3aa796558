"""What a caption says, sentence by sentence, and the caption without some of them.

What Markdown may put around sentences is told here: a line is a paragraph, an item of a list, a heading, or a row of a
table. LaTeX, code and HTML tables are kept whole and are nothing that a sentence says.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from typing import Literal

from MetaCaptioner.agents.sentences import sentences

_WHOLE = re.compile(
    r"(?P<fence>^[ \t]*(`{3,}|~{3,})[^\n]*(?:\n.*?^[ \t]*\2[`~]*[ \t]*$|\n.*|$))"  # to its end, or that of the text
    r"|`[^`\n]+`|<table\b.*?</table>"
    r"|\\begin\{(?P<name>[^}\n]+)\}.*?\\end\{(?P=name)\}|\\\[.*?\\\]|\\\(.*?\\\)"
    r"|\$\$.+?\$\$|(?<!\$)\$(?![\s$])(?:[^$\n\\]|\\.)*?(?<!\s)\$(?![\d$])",  # $4 and $5 are money
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_MARK = re.compile(
    r"[ \t]*(?:>[ \t]*)*(?:(?P<item>[-*+•◦▪–—·]|\(?\d{1,3}[.)]|\(?[a-zA-Z]\))[ \t]+(?:\[[ xX]\][ \t]+)?)?"
)
_HEADING = re.compile(
    r"(?P<level>#{1,6})[ \t]|(?P<bold>\*\*|__)(?:(?!(?P=bold)).)+(?P=bold)[:：]?$|[^.!?。！？]{1,40}[:：]$"
)
_MOST_WORDS_OF_HEADING = 3
_HIDDEN = "Ꜳ", "ꜳ"
"""Letters that no caption has, a capital and a small one: what is hidden is a word of them."""
_BOLD, _LEAD = 7, 8
"""Levels of headings below those of Markdown: a line in bold type, and a word or two with a colon before a list."""
_RULE_OF_TABLE = re.compile(r"[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*(?:\|[ \t]*:?-{2,}:?[ \t]*)*\|?[ \t]*$")
_ENDS = re.compile(r"[.!?:;…。！？：；।؟][\"'”’»」』)\]*_]*$")


@dataclass(frozen=True)
class Sentence:
    """A stretch of a caption, blanks behind it included; `claim` is what it says, None where that is nothing."""

    text: str
    claim: str | None


@dataclass(frozen=True)
class Block:
    """A line of a caption or several that belong together: what stands before its sentences, these, and the line
    breaks and blanks behind them. `level` is that of a heading, 0 of all else."""

    lead: str
    sentences: tuple[Sentence, ...]
    gap: str
    kind: Literal["text", "item", "heading", "table"] = "text"
    level: int = 0

    @property
    def claims(self) -> list[str]:
        return [one.claim for one in self.sentences if one.claim is not None]

    def without(self, is_kept: Iterator[bool]) -> "Block | None":
        """It with those sentences only that say nothing or that are kept; None if all that it says is gone.

        Of the answers, as many are taken as it has claims.
        """
        kept = [one for one in self.sentences if one.claim is None or next(is_kept)]
        if self.claims and all(one.claim is None for one in kept):
            return None
        if kept and kept[-1] is not self.sentences[-1]:
            kept[-1] = replace(kept[-1], text=kept[-1].text.rstrip())
        return replace(self, sentences=tuple(kept))

    def __str__(self) -> str:
        return self.lead + "".join(one.text for one in self.sentences) + self.gap


def split(caption: str) -> list[Block]:
    """The blocks of a caption, which are it when they are put together again."""
    lines = _lines(_hidden(caption))
    blocks: list[Block] = []
    at = begin = 0
    while at < len(lines):
        table = _table_end(lines, at)
        stop = table or _paragraph_end(lines, at)
        hidden = "".join(lines[at:stop])
        end = begin + len(hidden)
        blocks.append(_block(caption[begin:end], hidden, is_table=table > 0))
        at, begin = stop, end
    return blocks


def claims_of(blocks: Sequence[Block]) -> list[str]:
    """What a caption says, in order."""
    return [claim for block in blocks for claim in block.claims]


def without(blocks: Sequence[Block], is_kept: Sequence[bool]) -> str:
    """The caption with those of its claims only that are kept, letter for letter; empty if none is.

    A list's item, a table or a paragraph goes where all that it says is gone, and a heading where all below it is.
    Paragraphs stay apart.
    """
    if blocks and is_kept and not any(is_kept):
        return ""
    answers = iter(is_kept)
    left = [block.without(answers) for block in blocks]
    for place in range(len(blocks) - 1, -1, -1):
        section = _section(blocks, place)
        if any(blocks[at].claims for at in section) and all(left[at] is None for at in section):
            left[place] = None
    text, gap = "", ""
    for before, block in zip(blocks, left, strict=True):
        if block is not None:
            text += (gap if text else "") + str(replace(block, gap=""))
            gap = block.gap
        elif before.gap.count("\n") > gap.count("\n"):
            gap = before.gap
    return text + (gap if left and left[-1] is not None else "")


def _section(blocks: Sequence[Block], place: int) -> range:
    """The blocks below a heading; none below what is no heading."""
    level = blocks[place].level
    if not level:
        return range(0)
    if level == _LEAD:
        items = next(at for at in count(place + 1) if at == len(blocks) or blocks[at].kind != "item")
        return range(place + 1, max(items, min(place + 2, len(blocks))))
    return range(place + 1, next(at for at in count(place + 1) if at == len(blocks) or 0 < blocks[at].level <= level))


def _hidden(caption: str) -> str:
    """The caption, letter for letter as long, with LaTeX and code as one long word each."""

    def word(found: re.Match[str]) -> str:
        return _HIDDEN[0] + _HIDDEN[1] * (len(found[0]) - 1)

    return _WHOLE.sub(word, caption)


def _lines(hidden: str) -> list[str]:
    """The lines with something in them, each with its line break and the blank lines that follow."""
    begins = [found.start() for found in re.finditer(r"(?m)^(?=[^\n]*\S)", hidden)]
    begins = [0, *begins[1:]] if hidden else []
    return [hidden[begin:end] for begin, end in pairwise([*begins, len(hidden)])]


def _table_end(lines: Sequence[str], at: int) -> int:
    """Where a table ends that begins there, with the names of its columns and a rule below them; 0 if none does."""
    if at + 2 > len(lines) or not _is_row(lines[at]) or lines[at].count("\n") > 1 or not _is_row(lines[at + 1]):
        return 0
    if not _RULE_OF_TABLE.match(lines[at + 1].rstrip()):
        return 0
    end = at + 2
    while end < len(lines) and _is_row(lines[end]) and lines[end - 1].count("\n") == 1:
        end += 1
    return end


def _is_row(line: str) -> bool:
    return "|" in line


def _paragraph_end(lines: Sequence[str], at: int) -> int:
    """Where a paragraph ends that begins there: behind more than one line where a sentence goes on in the next."""
    end = at + 1
    while end < len(lines):
        line, following = lines[end - 1], lines[end].lstrip()
        is_over = line.count("\n") > 1 or _ENDS.search(line.rstrip()) or _HEADING.match(line.strip())
        if is_over or _is_row(following) or _is_item(following) or not following[:1].islower():
            break
        end += 1
    return end


def _is_item(line: str) -> bool:
    mark = _MARK.match(line)
    return mark is not None and mark["item"] is not None


def _block(text: str, hidden: str, is_table: bool) -> Block:
    """The block that is this text."""
    length = len(hidden.rstrip())
    body, gap = text[:length], text[length:]
    if is_table:
        return _table_block(body, hidden[:length], gap)
    mark = _MARK.match(hidden[:length])
    begin = mark.end() if mark else 0
    level = 0 if mark and mark["item"] else _level(hidden[begin:length])
    if level or not _says_something(hidden[begin:length]):
        return Block("", (Sentence(body, None),), gap, "heading" if level else "text", level)
    said = tuple(_sentences(body[begin:], hidden[begin:length]))
    return Block(body[:begin], said, gap, "item" if mark and mark["item"] else "text")


def _level(line: str) -> int:
    found = _HEADING.match(line)
    if found is None:
        return 0
    if found["level"]:
        return len(found["level"])
    if found["bold"]:
        return _BOLD
    return _LEAD if len(line.split()) <= _MOST_WORDS_OF_HEADING else 0


def _sentences(text: str, hidden: str) -> Iterator[Sentence]:
    begin = 0
    for part in sentences(hidden):
        end = begin + len(part)
        said = text[begin:end].strip() if _says_something(part) else None
        yield Sentence(text[begin:end], said)
        begin = end


def _says_something(hidden: str) -> bool:
    """Whether there is a word or a number in a text beside LaTeX and code."""
    return any(character.isalnum() and character not in _HIDDEN for character in hidden)


def _table_block(body: str, hidden: str, gap: str) -> Block:
    """A table: what it says are its rows, each cell with the name of its column."""
    head, rule, *rows = (body[slice(*line.span())] for line in re.finditer(r"\s*[^\n]+\n?", hidden))
    names = _cells(head)
    return Block(head + rule, tuple(Sentence(row, _row_claim(names, row)) for row in rows), gap, "table")


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _row_claim(names: Sequence[str], row: str) -> str | None:
    cells = _cells(row)
    named = [f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=False) if cell]
    return "; ".join([*named, *filter(None, cells[len(names) :])]) or None
