"""What the rendered fantasies show: floating islands with what stands on them, flyers, planets, a neon city."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ..scene import SIDE
from .canvas import Canvas, Point, ellipse_points, faded, mix, pts, smooth
from .chance import pick


def _tree(canvas: Canvas, x: float, foot: float, colour: str) -> None:
    canvas.rect((x - 4, foot - 26, x + 4, foot), "#5a3a2a")
    for dx, dy, radius in ((-9, -30, 13), (9, -30, 13), (0, -44, 15)):
        canvas.ellipse(x + dx, foot + dy, radius, fill=mix(colour, "#101020", 0.25))
    for dx, dy, radius in ((-9, -32, 11), (8, -33, 11), (-1, -46, 13)):
        canvas.ellipse(x + dx, foot + dy, radius, fill=colour)


def _crystal(canvas: Canvas, x: float, foot: float, colour: str) -> None:
    left, right, top = (x - 15, foot - 38), (x + 15, foot - 38), (x, foot - 64)
    canvas.polygon([top, right, (x + 8, foot), (x - 8, foot), left], colour)
    canvas.polygon([top, right, (x + 8, foot), (x + 2, foot), (x + 4, foot - 34)], mix(colour, "#101030", 0.32))
    canvas.polygon([top, left, (x - 6, foot - 32)], mix(colour, "#ffffff", 0.45))


def _tower(canvas: Canvas, x: float, foot: float, colour: str) -> None:
    canvas.rect((x - 12, foot - 38, x + 12, foot), "#ead9c0")
    canvas.rect((x + 3, foot - 38, x + 12, foot), "#bda58c")
    canvas.polygon([(x - 19, foot - 36), (x, foot - 68), (x + 19, foot - 36)], colour)
    canvas.polygon([(x + 4, foot - 36), (x, foot - 68), (x + 19, foot - 36)], mix(colour, "#101020", 0.25))
    canvas.rect((x - 5, foot - 26, x + 3, foot - 14), "#5a3a58", radius=3)


def _mushroom(canvas: Canvas, x: float, foot: float, colour: str) -> None:
    canvas.rect((x - 7, foot - 28, x + 7, foot), "#f3e3cc", radius=4)
    cap = ellipse_points((x, foot - 25), (20, 27), arc=(180, 360), steps=16)
    canvas.polygon(cap, colour, mix(colour, "#201020", 0.3), 1)
    spot = "#a8a2b4" if colour == "#ffffff" else "#ffffff"
    for dx, dy in ((-10, -32), (2, -43), (11, -32)):
        canvas.ellipse(x + dx, foot + dy, 3, fill=spot)


THINGS: dict[str, Callable[[Canvas, float, float, str], None]] = {
    "tree": _tree, "crystal": _crystal, "tower": _tower, "mushroom": _mushroom
}  # fmt: skip


def paint_island(canvas: Canvas, rng: np.random.Generator, x: float, y: float, width: float) -> None:
    """A disc of grass over a cone of rock in facets."""
    shares = (0.04 + 0.52 * np.sin(np.pi * np.arange(8) / 7) ** 1.2 * rng.uniform(0.75, 1.1, 8)).tolist()
    tips = [(x - width / 2 + width * n / 7, y + width * depth) for n, depth in enumerate(shares)]
    for number, (first, second) in enumerate(pairwise(tips)):
        rock = mix("#b0826a", "#4b3350", number / 6)
        canvas.polygon([(first[0], y), (second[0], y), second, first], rock)
        canvas.polygon([(first[0], y), (second[0], y), first], mix(rock, "#ffffff", 0.12))
    fall = x + width * rng.uniform(0.28, 0.4) * pick(rng, (-1, 1))
    for step in range(10):
        half = 5 + 0.4 * step
        box = (fall - half, y + 9 * step, fall + half, y + 9 * step + 9)
        canvas.rect(box, faded("#f2fbff", 0.95 - 0.09 * step))
    canvas.ellipse(x, y, width / 2, 12, "#3a8f58")
    canvas.ellipse(x, y - 3, width / 2, 10, "#74cf7c")


@lru_cache(maxsize=1)
def _whale_parts() -> dict[str, list[Point]]:
    parts = {
        "tail": "84,-2 104,-30 118,-28 110,-8 120,12 104,12",
        "body": "-90,-4 -78,-30 -40,-42 10,-34 60,-12 96,-8 92,2 56,14 0,26 -60,24 -86,12",
        "belly": "-88,6 -50,10 0,10 46,10 0,26 -60,24 -84,14",
        "fin": "-34,12 -14,16 8,46 -6,48 -28,30",
    }
    return {name: smooth(pts(points), closed=True, steps=6) for name, points in parts.items()}


def paint_flyer(canvas: Canvas, creature: str, at: Point, size: float, facing: int) -> None:
    """A whale or an airship, `size` wide on either side of its middle."""
    unit = size / 100
    if creature == "whale":
        for part, colour in (("tail", "#24406e"), ("body", "#3f6cab"), ("belly", "#e6eff8"), ("fin", "#24406e")):
            path = [(at[0] - facing * x * unit, at[1] + y * unit) for x, y in _whale_parts()[part]]
            canvas.polygon(path, colour)
        canvas.ellipse(at[0] + facing * 66 * unit, at[1] - 6 * unit, 3.4, fill="#0d1a2e")
        return
    tail = [(at[0] - facing * x * unit, at[1] + y * unit) for x, y in ((70, 0), (112, -38), (104, 0), (112, 38))]
    canvas.polygon(tail, "#7a3b2c")
    canvas.rect((at[0] - 30 * unit, at[1] + 34 * unit, at[0] + 30 * unit, at[1] + 62 * unit), "#5b3526", radius=4)
    canvas.ellipse(*at, 100 * unit, 40 * unit, "#e9dcc0", outline="#8a6a4a", width=1.5)
    canvas.ellipse(at[0], at[1] + 5 * unit, 96 * unit, 12 * unit, "#c9a878")
    canvas.ellipse(*at, 46 * unit, 40 * unit, outline="#a8845c", width=2)


def paint_planet(canvas: Canvas, at: Point, radius: float, colour: str, ringed: bool) -> None:
    """A banded planet, with a ring around it where `ringed`."""
    canvas.light(at, radius * 1.8, mix(colour, "#ffffff", 0.5), 0.5)
    ring, tone = ((radius * 1.75, radius * 0.42), "#fff4e0")
    if ringed:
        canvas.line(ellipse_points(at, ring, turn=-16, arc=(180, 360), steps=30), mix(tone, "#80608a", 0.3), 7)
    canvas.ellipse(*at, radius, fill=mix(colour, "#180c30", 0.3))
    canvas.ellipse(at[0] - 2, at[1] - 2, radius * 0.93, fill=colour)
    for dy, wide in ((-0.45, 0.7), (0.12, 0.85), (0.55, 0.6)):
        band = (
            at[0] - radius * wide,
            at[1] + radius * (dy - 0.06),
            at[0] + radius * wide,
            at[1] + radius * (dy + 0.06),
        )
        canvas.rect(band, mix(colour, "#ffffff" if dy > 0 else "#301828", 0.22), radius=radius * 0.06)
    if ringed:
        canvas.line(ellipse_points(at, ring, turn=-16, arc=(0, 180), steps=30), tone, 7)


def paint_hover_car(canvas: Canvas, x: float, y: float, colour: str, facing: int) -> None:
    """A flying car of 68 pixels; `facing` is 1 to the right, -1 to the left."""

    def at(px: float, py: float) -> Point:
        return (x + facing * px, y + py)

    canvas.ellipse(x, y + 15, 30, 4, faded(colour, 0.5))
    canvas.polygon([at(-20, -7), at(-10, -19), at(10, -19), at(20, -7)], "#cfe9ff", mix(colour, "#000000", 0.3), 1.5)
    canvas.rect((x - 34, y - 8, x + 34, y + 9), colour, radius=8)
    canvas.rect((x - 33, y + 3, x + 33, y + 9), mix(colour, "#100020", 0.4), radius=3)
    canvas.ellipse(*at(29, -2), 4, fill="#ffffff")
    canvas.polygon([at(-34, -8), at(-42, -18), at(-26, -8)], mix(colour, "#100020", 0.25))


def paint_robot(canvas: Canvas, x: float, foot: float, colour: str) -> None:
    """A robot that stands at (x, foot)."""
    dark = mix(colour, "#140828", 0.45)
    canvas.ellipse(x, foot, 27, 5, faded("#000000", 0.5))
    for dx in (-9, 9):
        canvas.rect((x + dx - 5, foot - 20, x + dx + 5, foot), dark, radius=2)
        canvas.rect((x + dx * 2.6 - 4, foot - 50, x + dx * 2.6 + 4, foot - 24), dark, radius=4)
    canvas.rect((x - 19, foot - 54, x + 19, foot - 16), colour, radius=5)
    canvas.rect((x - 10, foot - 44, x + 10, foot - 28), dark, radius=2)
    canvas.rect((x - 15, foot - 82, x + 15, foot - 57), colour, radius=6)
    canvas.rect((x - 12, foot - 76, x + 12, foot - 64), "#140a28", radius=4)
    for dx in (-6, 6):
        canvas.ellipse(x + dx, foot - 70, 3.4, fill="#ffffff")
    canvas.line([(x, foot - 82), (x, foot - 92)], dark, 2.5)
    canvas.ellipse(x, foot - 93, 4, fill=colour)


def paint_skyline(canvas: Canvas, rng: np.random.Generator, horizon: float, edge: str) -> None:
    """Dark towers with lit windows along the horizon, lowest in the middle."""
    x = -8.0
    while x < SIDE:
        width, tall = rng.uniform(30, 48), rng.uniform(16, 54) * (0.5 + 0.8 * abs(x - SIDE / 2) / SIDE)
        canvas.rect((x, horizon - tall, x + width, horizon), "#170a38", edge, 1.5)
        for row, column in rng.uniform(0, 1, (5, 2)).tolist():
            at = (x + 5 + int(column * width / 11) * 10, horizon - tall + 5 + int(row * tall / 11) * 11)
            canvas.rect((*at, at[0] + 4, at[1] + 5), "#ffe9a0")
        x += width + 3


def paint_sun(canvas: Canvas, x: float, y: float, radius: float, colour: str, night: str) -> None:
    """The striped half-set sun of retro posters."""
    canvas.light((x, y), radius * 1.9, colour, 0.55)
    canvas.ellipse(x, y, radius, fill=colour)
    for number in range(5):
        top = y - radius * 0.12 + number * radius * 0.25
        half = math.sqrt(max(radius**2 - (top - y) ** 2, 0)) + 2
        canvas.rect((x - half, top, x + half, top + radius * (0.05 + 0.015 * number)), night)


def paint_floor(canvas: Canvas, horizon: float, vanish: float, colour: str) -> None:
    """A glowing grid that runs from the lower edge to the point (vanish, horizon)."""
    canvas.gradient((0, horizon, SIDE, SIDE), [(0, "#300c52"), (1, "#0b0224")])
    for number in range(-9, 10):
        canvas.line([(vanish + number * 26, horizon), (vanish + number * 110, SIDE)], colour, 2)
    for number in range(7):
        y = horizon + (SIDE - horizon) * (number / 6.3) ** 1.9
        canvas.line([(0, y), (SIDE, y)], colour, 2 + number * 0.2)
