"""Boards and paper to write on, and how equations are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scene import SIDE
from .canvas import Canvas, faded, mix


def paint_ground(rng: np.random.Generator, ground: str, scale: int) -> Canvas:
    """An empty board or sheet of paper."""
    base = {
        "a green chalkboard": "#23563f",
        "a black chalkboard": "#26282c",
        "a whiteboard": "#f7f9fb",
        "yellow paper": "#f8e58a",
    }.get(ground, "#fdfdfa")
    canvas = Canvas(SIDE, SIDE, mix(base, "#000000", rng.uniform(0, 0.05)), scale)
    if "board" in ground:
        edge = "#a9b2bb" if ground == "a whiteboard" else "#9a6b3c"
        width = rng.uniform(14, 22)
        if "chalk" in ground:
            for _ in range(4):
                x, y = rng.uniform(40, 400), rng.uniform(40, 400)
                canvas.ellipse(x, y, rng.uniform(60, 150), rng.uniform(20, 50), faded("#ffffff", 0.04))
        canvas.rect((0, 0, SIDE, SIDE), None, edge, width)
        canvas.rect((width, width, SIDE - width, SIDE - width), None, mix(edge, "#000000", 0.4), 2)
    elif ground != "yellow paper":
        step, squared = rng.uniform(30, 40), ground == "squared paper"
        for at in np.arange(rng.uniform(8, step), SIDE, step).tolist():
            canvas.line([(0, at), (SIDE, at)], "#9dbfe6", 1.5)
            if squared:
                canvas.line([(at, 0), (at, SIDE)], "#9dbfe6", 1.5)
    return canvas


def typeset(canvas: Canvas, x: float, y: float, signs: Sequence[str], size: int, ink: str) -> None:
    """The parts of an equation from x on; the minus is drawn, for the font's hyphen is too short to be seen."""
    for sign in signs:
        wide = size * 0.55 if sign == "-" else canvas.text_width(sign, size)
        if sign == "-":
            canvas.line([(x, y), (x + wide, y)], ink, size * 0.09)
        else:
            canvas.text(x, y + size * 0.36, sign, size, ink, anchor="ls", bold=True)
        x += wide + size * 0.27
