"""Things that several pictures show: trees, clouds, ridges, grass, cars, birds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .canvas import Canvas, Point, ellipse_points, faded, mix, noise, pts


def cloud(canvas: Canvas, x: float, y: float, size: float, colour: str = "#ffffff") -> None:
    """A cumulus cloud with a flat, slightly darker base."""
    puffs = [(-1.0, 0.05, 0.42), (-0.45, -0.25, 0.55), (0.2, -0.38, 0.65), (0.75, -0.1, 0.5), (1.15, 0.1, 0.34)]
    for dx, dy, radius in puffs:
        canvas.ellipse(
            x + dx * size, y + (dy + 0.08) * size, radius * size, radius * size * 0.8, mix(colour, "#7d93b5", 0.22)
        )
    for dx, dy, radius in puffs:
        canvas.ellipse(x + dx * size, y + dy * size, radius * size * 0.97, radius * size * 0.74, colour)


def broadleaf(
    canvas: Canvas, rng: np.random.Generator, x: float, foot: float, height: float, leaf: str = "#3f8a3a"
) -> None:
    """A broad-leaved tree whose trunk stands at (x, foot), lit from the upper left."""
    canvas.ellipse(x + height * 0.08, foot, height * 0.34, height * 0.045, faded("#10300f", 0.35))
    wide = height * 0.05
    trunk = [
        (x - wide * 1.3, foot),
        (x - wide * 0.6, foot - height * 0.5),
        (x + wide * 0.6, foot - height * 0.5),
        (x + wide * 1.3, foot),
    ]
    canvas.polygon(trunk, "#6a4a2d")
    canvas.polygon([(x + wide * 0.2, foot), (x + wide * 0.1, foot - height * 0.5), trunk[2], trunk[3]], "#523720")
    crown = (x, foot - height * 0.66)
    for layer, shade in enumerate((0.35, 0.12, -0.18)):
        colour = mix(leaf, "#12330f", shade) if shade > 0 else mix(leaf, "#d8ec8c", -shade)
        reach = height * (0.3 - 0.06 * layer)
        shift = -height * 0.035 * layer
        for _ in range(34):
            angle, far = rng.uniform(0, 2 * math.pi), reach * math.sqrt(rng.uniform(0, 1))
            at = (crown[0] + shift + far * math.cos(angle), crown[1] + shift + far * math.sin(angle) * 0.9)
            canvas.ellipse(*at, height * rng.uniform(0.05, 0.09), fill=mix(colour, "#000000", rng.uniform(0, 0.08)))


def conifer(canvas: Canvas, x: float, foot: float, height: float, colour: str = "#27543a") -> None:
    """A fir tree of four tiers."""
    canvas.rect((x - height * 0.03, foot - height * 0.15, x + height * 0.03, foot), "#4d3522")
    for tier in range(4):
        low, high = foot - height * (0.1 + 0.2 * tier), foot - height * (0.46 + 0.18 * tier)
        half = height * (0.26 - 0.05 * tier)
        canvas.polygon(
            [(x - half, low), (x, high), (x + half, low), (x, low + height * 0.03)],
            mix(colour, "#000000", 0.05 * (3 - tier)),
        )
        canvas.polygon([(x, high), (x + half, low), (x, low + height * 0.03)], faded("#000000", 0.16))


def ridge(rng: np.random.Generator, width: int, level: float, height: float, cell: float) -> list[Point]:
    """The skyline of a mountain chain, from x = 0 to x = `width`."""
    profile = noise(rng, width + 1, 4, cell, octaves=5)[1]
    profile = (profile - profile.min()) / (np.ptp(profile) or 1)
    return [(float(x), level - height * float(profile[x])) for x in range(0, width + 1, 2)]


def below(skyline: Sequence[Point], floor: float) -> list[Point]:
    """The area between a skyline and a floor, as a polygon."""
    return [*skyline, (skyline[-1][0], floor), (skyline[0][0], floor)]


def grass(canvas: Canvas, rng: np.random.Generator, top: float, count: int, colours: Sequence[str]) -> None:
    """Tufts of grass between `top` and the lower edge, larger towards the viewer."""
    depths = np.sort(rng.uniform(0, 1, count))
    for depth in depths:
        x, y = rng.uniform(0, canvas.width), top + depth * (canvas.height - top)
        size = 2 + 7 * depth
        colour = colours[int(rng.integers(len(colours)))]
        for lean in (-0.5, 0.0, 0.45):
            canvas.line([(x, y), (x + lean * size, y - size)], colour, 0.7 + 0.6 * depth)


def bird(canvas: Canvas, x: float, y: float, span: float, colour: str = "#2b2f36", lift: float = 0.35) -> None:
    """A bird in flight far away: two bent wings."""
    for side in (-1, 1):
        tip, bend = (x + side * span / 2, y - span * lift * 0.4), (x + side * span * 0.24, y - span * lift)
        canvas.polygon(
            [(x, y), bend, tip, (x + side * span * 0.24, y - span * lift * 0.62), (x, y + span * 0.07)], colour
        )


def car(canvas: Canvas, x: float, ground: float, length: float, colour: str, facing: int = 1) -> None:
    """A small car seen from the side, its wheels on `ground`; `facing` is 1 to the right, -1 to the left."""

    def at(px: float, py: float) -> Point:
        return (x + facing * (px - 0.5) * length, ground - py * length)

    canvas.ellipse(x, ground, length * 0.54, length * 0.035, faded("#000000", 0.45))
    body = pts("0.0,0.1 0.0,0.24 0.1,0.28 0.24,0.41 0.58,0.42 0.75,0.28 0.94,0.24 1.0,0.17 1.0,0.1")
    canvas.polygon([at(*p) for p in body], colour, mix(colour, "#000000", 0.35), 1)
    canvas.polygon([at(*p) for p in [(0.0, 0.1), (0.0, 0.17), (1.0, 0.17), (1.0, 0.1)]], mix(colour, "#000000", 0.28))
    for pane in (
        [(0.16, 0.28), (0.27, 0.385), (0.41, 0.39), (0.41, 0.28)],
        [(0.45, 0.28), (0.45, 0.39), (0.56, 0.39), (0.69, 0.28)],
    ):
        canvas.polygon([at(*p) for p in pane], "#b9cfdd")
    canvas.line([at(0.43, 0.12), at(0.43, 0.3)], mix(colour, "#000000", 0.35), 1)
    for px in (0.22, 0.78):
        canvas.ellipse(*at(px, 0.095), length * 0.095, fill="#17181b")
        canvas.ellipse(*at(px, 0.095), length * 0.05, fill="#9aa0a8")
    canvas.ellipse(*at(0.97, 0.205), length * 0.028, fill="#fff3b8")
    canvas.ellipse(*at(0.025, 0.21), length * 0.02, fill="#e02a2a")


def sun_rays(x: float, y: float, inner: float, outer: float, count: int) -> list[tuple[Point, Point]]:
    """Rays around a sun: pairs of a near and a far end."""
    near = ellipse_points((x, y), (inner, inner), steps=count)[:-1]
    far = ellipse_points((x, y), (outer, outer), steps=count)[:-1]
    return list(zip(near, far, strict=True))
