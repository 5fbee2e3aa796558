"""Source code in the colours of its tokens, and what it is shown in: an editor, a notebook's cell, a terminal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ..scene import SIDE
from .canvas import MONO_ADVANCE, Box, Canvas, mix
from .chance import pick
from .widgets import lifted, lights, tint

DARK = {
    "string": "#e8a080",
    "keyword": "#d78fe0",
    "call": "#f0e08a",
    "number": "#b9e2a0",
    "mark": "#9fb6cc",
    "sign": "#ffffff",
    "plain": "#eceff3",
}
LIGHT = {
    "string": "#0b6e4f",
    "keyword": "#9b1fa0",
    "call": "#7a4f00",
    "number": "#0a5fb4",
    "mark": "#5b6675",
    "sign": "#000000",
    "plain": "#15181d",
}
TOKENS = re.compile(
    r"(?P<string></?\w+>)|(?P<keyword>\b(?:def|return)\b)|(?P<call>\b\w+(?=\())|(?P<number>\b\d+\b)"
    r"|(?P<mark>[:(),]+)|(?P<sign>[-+*=])|(?P<plain>\w+|\s+|.)"
)


def paint_source(
    canvas: Canvas, x: float, y: float, lines: Sequence[str], size: float, step: float, colours: Mapping[str, str]
) -> None:
    """Lines of source in the colours of their tokens."""
    for number, line in enumerate(lines):
        for match in TOKENS.finditer(line):
            at = x + match.start() * size * MONO_ADVANCE
            sort = match.lastgroup or "plain"
            canvas.mono(at, y + number * step, match.group(), size, colours[sort], bold=sort == "sign")


def paint_editor(canvas: Canvas, rng: np.random.Generator, theme: str, name: str, lines: Sequence[str]) -> None:
    """The window of an editor: tabs, line numbers, source, an overview at the right, a status bar."""
    dark = theme == "dark"
    paper = tint(rng, pick(rng, ("#1e1e1e", "#1b2130", "#232029")) if dark else pick(rng, ("#ffffff", "#fdf8ea")), 0.05)
    colours = DARK if dark else LIGHT
    canvas.rect((0, 0, SIDE, SIDE), paper)
    bar, pen = mix(paper, colours["plain"], 0.12), mix(paper, colours["plain"], 0.55)
    canvas.rect((0, 0, SIDE, 40), bar)
    wide = rng.uniform(110, 150)
    accent = pick(rng, ("#3794ff", "#e0533d", "#2fa866", "#9a5be0", "#e39a1f"))
    canvas.rect((0, 0, wide, 40), paper)
    canvas.rect((0, 0, wide, 4), accent)
    canvas.text(14, 21, f"{name}.py", 16, colours["plain"], anchor="lm")
    canvas.text(wide + 16, 21, "notes.py", 16, pen, anchor="lm")
    canvas.rect((0, SIDE - 28, SIDE, SIDE), accent)
    canvas.text(14, SIDE - 14, "Python      UTF-8      Spaces", 14, "#ffffff", anchor="lm")
    size = rng.uniform(29, 31)
    step, top = rng.uniform(50, 64), rng.uniform(60, 130)
    left = rng.uniform(34, 46)
    marked = int(rng.choice((0, 1, 3)))
    canvas.rect((left, top + marked * step - 7, SIDE, top + marked * step + 43), mix(paper, accent, 0.12))
    for number in range(int((SIDE - 40 - top) / step) + 1):
        if (y := top + number * step) < SIDE - 62:
            canvas.text(left - 8, y + 18, str(number + 1), 16, pen, anchor="rm")
    paint_source(canvas, left + 4, top, lines, size, step, colours)
    cell = size * MONO_ADVANCE
    end = left + 6 + len(lines[marked]) * cell
    canvas.rect((end, top + marked * step, end + 3, top + marked * step + 34), colours["plain"])
    canvas.line([(left + 6, top + step), (left + 6, top + 1.7 * step)], mix(paper, colours["plain"], 0.25), 1.5)


def paint_cell(canvas: Canvas, rng: np.random.Generator, colour: str, lines: Sequence[str]) -> None:
    """A notebook page: a tool bar, a blurred paragraph, the cell with its coloured edge."""
    canvas.rect((0, 0, SIDE, 44), "#e7e9ec")
    canvas.polygon([(22, 13), (22, 31), (38, 22)], "#2f9e55")
    canvas.rect((58, 14, 74, 30), "#6b7280", radius=2)
    canvas.line([(96, 22), (112, 22)], "#6b7280", 3)
    canvas.line([(104, 14), (104, 30)], "#6b7280", 3)
    canvas.text(SIDE - 16, 22, "Notebook", 18, "#4b5563", anchor="rm")
    size, step = rng.uniform(29, 32), rng.uniform(46, 56)
    x0, x1 = rng.uniform(14, 36), SIDE - rng.uniform(10, 24)
    y0 = rng.uniform(60, 130)
    y1 = y0 + 30 + step * len(lines)
    for y in range(58, round(y0) - 16, 16):
        canvas.rect((x0 + 4, y, x0 + rng.uniform(180, 380), y + 6), "#d3d6db", radius=3)
    lifted(canvas, (x0, y0, x1, y1), 6, 3)
    canvas.rect((x0, y0, x1, y1), tint(rng, "#ffffff", 0.03), "#c9cdd4", 1.5, radius=6)
    canvas.rect((x0, y0, x0 + 14, y1), tint(rng, colour), radius=4)
    paint_source(canvas, x0 + rng.uniform(26, 44), y0 + 16, lines, size, step, LIGHT)
    for y in range(round(y1) + 26, SIDE - 24, 18):
        canvas.rect((x0 + 4, y, x0 + rng.uniform(120, 380), y + 6), "#d3d6db", radius=3)


def paint_terminal(canvas: Canvas, rng: np.random.Generator, screen: str, pen: str) -> Box:
    """The window of a terminal; gives its box, the upper 32 pixels being its bar."""
    x0, y0 = rng.uniform(6, 18), rng.uniform(8, 50)
    x1, y1 = SIDE - rng.uniform(6, 18), SIDE - rng.uniform(10, 60)
    lifted(canvas, (x0, y0, x1, y1), 10, 7)
    canvas.rect((x0, y0, x1, y1), screen, radius=10)
    bar = mix(screen, "#8a93a3", 0.45)
    canvas.rect((x0, y0, x1, y0 + 32), bar, radius=10)
    canvas.rect((x0, y0 + 20, x1, y0 + 32), bar)
    lights(canvas, x0 + 18, y0 + 16, 6)
    canvas.text((x0 + x1) / 2, y0 + 16, "terminal", 17, pen, anchor="mm")
    return (x0, y0, x1, y1)
