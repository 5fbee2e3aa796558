"""Pages of scattered words, to learn to read from: every letter's place is known, so every token can be taught.

Without them a model of this size learns colours, shapes and counts in minutes and hardly a letter in an hour: a caption
says little about where a word stands and what it is made of.
"""

import string
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.architecture import MERGE, PATCH
from demo.drawing import STATEMENTS
from demo.drawing.canvas import MONO_ADVANCE, Canvas
from demo.scene import SIDE, Picture

LETTERS = string.ascii_letters + string.digits + ".,:$+-=()<>/"
ROWS, COLUMNS = 2, 4
"""Cells of a token (28x28 pixels as the model sees it) in which a letter can stand."""

CELLS = ROWS * COLUMNS
WORDS = tuple(
    sorted(
        {
            word
            for statements in STATEMENTS.values()
            for statement in statements
            for choices in statement.choices.values()
            for choice in choices
            for word in choice.split()
            if set(word) <= set(LETTERS)
        }
    )
)
_PAPERS = ("#ffffff", "#f4efe2", "#e8f0f8", "#1e1e2a", "#20402c", "#203a70", "#f2c832", "#c83232", "#2f8f4f", "#3b6fd0")


@dataclass(frozen=True)
class Page:
    """A picture of words, what it says line by line, and the letter in each cell.

    `cells` has shape (tokens, CELLS): 0 where there is none, else 1 + the letter's index in `LETTERS`.
    """

    picture: Picture
    lines: tuple[str, ...]
    cells: NDArray[np.int64]


def draw_page(rng: np.random.Generator) -> Page:
    """Draw 2 to 8 lines of one to three words on a plain ground."""
    paper = str(rng.choice(_PAPERS))
    dark = sum(int(paper[at : at + 2], 16) for at in (1, 3, 5)) < 330
    canvas = Canvas(SIDE, SIDE, paper, 1)
    across = SIDE // 2 // (PATCH * MERGE)
    cells = np.zeros((across, across, ROWS, COLUMNS), np.int64)
    lines: list[str] = []
    y = float(rng.uniform(8, 60))
    while len(lines) < 8:
        size = float(rng.uniform(26, 44))
        if y + size > SIDE - 8:
            break
        line = _line(rng)
        ink = _ink(rng, dark)
        lines.append(_write(rng, canvas, cells, line, y, size, ink))
        y += size * float(rng.uniform(1.15, 2.2))
    return Page(Picture(canvas.finish(), ()), tuple(lines), cells.reshape(across * across, CELLS))


def _line(rng: np.random.Generator) -> str:
    words = []
    for _ in range(int(rng.integers(1, 4))):
        sort = rng.random()
        if sort < 0.6:
            words.append(str(rng.choice(WORDS)))
        elif sort < 0.85:
            price = rng.random() >= 0.7
            words.append(f"{rng.integers(1, 25)}.{rng.choice(['00', '50'])}" if price else str(rng.integers(0, 100)))
        else:
            words.append("".join(rng.choice(list(LETTERS), int(rng.integers(2, 7)))))
    return " ".join(words)


def _ink(rng: np.random.Generator, dark: bool) -> str:
    low, high = (150, 256) if dark else (0, 90)
    return "#" + "".join(f"{value:02x}" for value in rng.integers(low, high, 3))


def _write(
    rng: np.random.Generator,
    canvas: Canvas,
    cells: NDArray[np.int64],
    line: str,
    y: float,
    size: float,
    ink: str,
) -> str:
    """Write as much of a line as fits, note its letters in `cells`, and return what was written."""
    mono = rng.random() < 0.25
    widths = [size * MONO_ADVANCE if mono else canvas.text_width(letter, size) for letter in line]
    while len(line) > 1 and sum(widths[: len(line)]) > SIDE - 16:
        line = line[:-1].rstrip()
    whole = sum(widths[: len(line)])
    x = float(rng.uniform(8, max(8.5, SIDE - 8 - whole)))
    if mono:
        canvas.mono(x, y, line, size, ink)
    else:
        canvas.text(x, y, line, size, ink, bold=rng.random() < 0.25)
    at = x
    for letter, width in zip(line, widths, strict=False):
        if letter != " ":
            _note(cells, at + width / 2, y + size * 0.62, letter)
        at += width
    return line


def _note(cells: NDArray[np.int64], x: float, y: float, letter: str) -> None:
    """Note a letter whose middle is at (x, y) in logical pixels."""
    token = 2 * PATCH * MERGE
    column, row = int(x // token), int(y // token)
    inside = int(y % token * ROWS // token), int(x % token * COLUMNS // token)
    if column < cells.shape[1] and row < cells.shape[0]:
        cells[(row, column, *inside)] = 1 + LETTERS.index(letter)
