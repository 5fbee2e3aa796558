"""Land from straight above: its ground, a way through it, fields and roofs."""

from __future__ import annotations

import numpy as np

from ..scene import SIDE
from .canvas import Box, Canvas, faded, mix, smooth


def paint_land(canvas: Canvas, rng: np.random.Generator, land: str) -> None:
    """The ground of an aerial view, from edge to edge."""
    base = {
        "farmland": "#a9b778",
        "a forest": "#376b3b",
        "a desert": "#e2c48d",
        "a town": "#a8a8a2",
        "an island": "#c4d08e",
    }
    canvas.rect((0, 0, SIDE, SIDE), base[land])
    for x, y, radius in rng.uniform((0, 0, 9), (SIDE, SIDE, 20), (110 if land == "a forest" else 24, 3)):
        if land == "a forest":
            canvas.ellipse(x, y, radius, fill=mix("#1f4d2b", "#4c8a48", rng.uniform()))
        elif land != "a desert" and land != "a town":
            canvas.ellipse(x, y, radius * 0.55, fill="#3f7a3c")
        else:
            canvas.line([(x - 30, y), (x + 30, y + 6)], faded("#ffffff", 0.25), 4)
    if land == "a town":
        for at in range(-10, SIDE, 36):
            canvas.line([(at, 0), (at + 24, SIDE)], "#c3c3bc", 2)
            canvas.line([(0, at + 24), (SIDE, at)], "#c3c3bc", 2)
    elif land == "an island":
        for width, colour in ((66, "#f0dfa8"), (50, "#3fa3cf"), (30, "#1f6faa")):
            canvas.rect((0, 0, SIDE, SIDE), outline=colour, width=width / 2, radius=46 if width == 66 else 0)


def paint_way(canvas: Canvas, rng: np.random.Generator, way: str, upright: bool) -> None:
    """A river, road or railway through the middle of an aerial view."""
    bend = 12 if way == "river" else 3
    knots = [(SIDE / 2 + rng.uniform(-bend, bend), float(y)) for y in range(-60, SIDE + 120, 64)]
    line = smooth([p if upright else (p[1], p[0]) for p in knots], steps=6)
    if way == "river":
        for colour, width in (("#cdbb84", 42), ("#2878b8", 34), ("#4b9ad2", 14)):
            canvas.line(line, colour, width)
    elif way == "road":
        canvas.line(line, "#e8e6de", 34)
        canvas.line(line, "#5b5e64", 28)
        for first, second in zip(line[::3], line[1::3], strict=False):
            canvas.line([first, second], "#ffffff", 3)
    else:
        canvas.line(line, "#b9ac98", 34)
        for at in range(4, SIDE, 13):
            low, high = SIDE / 2 - 15, SIDE / 2 + 15
            canvas.line([(low, at), (high, at)] if upright else [(at, low), (at, high)], "#5a4030", 5)
        for shift in (-8, 8):
            canvas.line([(x + shift, y) if upright else (x, y + shift) for x, y in line], "#2e3138", 3)


def paint_field(canvas: Canvas, rng: np.random.Generator, box: Box, colour: str) -> None:
    """A ploughed field, a little askew, with its rows."""
    x0, y0, x1, y1 = (value + rng.uniform(-8, 8) for value in box)
    canvas.polygon([(x0 + 4, y0), (x1, y0 + 6), (x1 - 5, y1), (x0, y1 - 4)], colour, mix(colour, "#2a2a12", 0.45), 3)
    upright, row = rng.uniform() < 0.5, mix(colour, "#241a08", 0.22)
    for share in np.linspace(0.08, 0.92, 11):
        x, y = x0 + (x1 - x0) * share, y0 + (y1 - y0) * share
        canvas.line([(x, y0 + 9), (x, y1 - 7)] if upright else [(x0 + 9, y), (x1 - 9, y)], row, 4)


def paint_roofs(canvas: Canvas, rng: np.random.Generator, box: Box, count: int, colour: str) -> None:
    """Roofs with a ridge and a shadow, each in a cell of its own."""
    wide, high = (box[2] - box[0]) / 2, (box[3] - box[1]) / 3
    for cell in rng.permutation(6)[:count]:
        row, column = divmod(int(cell), 2)
        half = (rng.uniform(25, 31), rng.uniform(19, 21))
        x = box[0] + wide * (column + 0.5) + rng.uniform(-5, 5)
        y = box[1] + high * (row + 0.5) + rng.uniform(-2, 2)
        canvas.rect((x - half[0] + 7, y - half[1] + 7, x + half[0] + 7, y + half[1] + 7), faded("#0a140a", 0.45))
        canvas.rect((x - half[0], y - half[1], x + half[0], y), mix(colour, "#ffffff", 0.16))
        canvas.rect((x - half[0], y, x + half[0], y + half[1]), mix(colour, "#000000", 0.12))
