"""Stained blood cells and spots of the skin."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .canvas import Canvas, Point, faded, mix
from .chance import sample


def _polar(at: Point, radii: Sequence[float], turn: float) -> list[Point]:
    """A closed outline with these distances from its centre, evenly around it."""
    angles = turn + np.arange(len(radii)) * (2 * math.pi / len(radii))
    return [(at[0] + r * math.cos(a), at[1] + r * math.sin(a)) for r, a in zip(radii, angles.tolist(), strict=True)]


def paint_cell(canvas: Canvas, at: Point, form: str, colour: str, turn: float, size: float) -> None:
    """One stained cell: a dimpled disc, a rod, a crescent or a burr with spikes."""
    dark, pale = mix(colour, "#1c0a24", 0.45), mix(colour, "#ffffff", 0.4)
    if form == "disc":
        canvas.ellipse(*at, size, size * 0.95, colour, outline=dark, width=2)
        canvas.ellipse(at[0] - size * 0.06, at[1] - size * 0.06, size * 0.45, fill=pale)
    elif form == "rod":
        dx, dy = size * 0.95 * math.cos(turn), size * 0.95 * math.sin(turn)
        ends = [(at[0] - dx, at[1] - dy), (at[0] + dx, at[1] + dy)]
        canvas.line(ends, dark, size * 0.78, caps=True)
        canvas.line(ends, colour, size * 0.58, caps=True)
        canvas.line([(x - 2, y - 2) for x, y in ends], pale, 3)
    elif form == "crescent":
        outer = [(math.cos(a), math.sin(a)) for a in np.linspace(-2.2, 2.2, 18).tolist()]
        inner = [(0.3 - 0.88 * (y / 0.8) ** 2, y) for y in np.linspace(0.7, -0.7, 10).tolist()]
        cos, sin = size * math.cos(turn), size * math.sin(turn)
        path = [(at[0] + 1.15 * (x * cos - y * sin), at[1] + 1.15 * (x * sin + y * cos)) for x, y in outer + inner]
        canvas.polygon(path, colour, dark, 2)
    else:
        canvas.polygon(_polar(at, (size * 1.25, size * 0.72) * 9, turn), colour, dark, 2)
        canvas.ellipse(*at, size * 0.36, fill=dark)


def cell_places(rng: np.random.Generator, reach: float, pitch: float) -> list[Point]:
    """Places for cells in shuffled order: a turned hexagonal grid, jittered, within `reach` of the middle."""
    turn = rng.uniform(0, math.pi / 3)
    places = []
    for row in range(-3, 4):
        for column in range(-4, 5):
            x, y = (column + row % 2 / 2) * pitch, row * pitch * 0.87
            if math.hypot(x, y) < reach:
                dx, dy = rng.uniform(-6, 6, 2).tolist()
                places.append(
                    (dx + x * math.cos(turn) - y * math.sin(turn), dy + x * math.sin(turn) + y * math.cos(turn))
                )
    return sample(rng, places, len(places))


def paint_spot(canvas: Canvas, rng: np.random.Generator, at: Point, radius: float, shape: str, colour: str) -> None:
    """A skin lesion with a soft rim; `radius` is half its largest width."""
    dark = mix(colour, "#200810", 0.3)
    flat = 0.5 if shape == "oval" else 1.0
    if shape in ("round", "oval"):
        canvas.ellipse(*at, radius + 4, radius * flat + 4, faded(colour, 0.3))
    if shape == "ring":
        canvas.ellipse(*at, radius * 0.8, outline=colour, width=radius * 0.4)
        return
    if shape == "ragged":
        radii = [radius * (1 if number % 2 == 0 else rng.uniform(0.45, 0.62)) for number in range(16)]
        canvas.polygon(_polar(at, radii, 0), colour, dark, 2)
    else:
        canvas.ellipse(*at, radius, radius * flat, colour, outline=dark, width=2)
    for dx, dy, size in rng.uniform(-0.32, 0.32, (5, 3)).tolist():
        canvas.ellipse(
            at[0] + dx * radius, at[1] + dy * radius * flat, 2 + abs(size) * radius * 0.4, fill=faded(dark, 0.5)
        )
