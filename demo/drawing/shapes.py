"""Things that several pictures show: clouds, firs, cars."""

from __future__ import annotations

from .canvas import Canvas, Point, faded, mix, pts


def cloud(canvas: Canvas, x: float, y: float, size: float, colour: str = "#ffffff") -> None:
    """A cumulus cloud with a flat, slightly darker base."""
    puffs = [(-1.0, 0.05, 0.42), (-0.45, -0.25, 0.55), (0.2, -0.38, 0.65), (0.75, -0.1, 0.5), (1.15, 0.1, 0.34)]
    for dx, dy, radius in puffs:
        canvas.ellipse(
            x + dx * size, y + (dy + 0.08) * size, radius * size, radius * size * 0.8, mix(colour, "#7d93b5", 0.22)
        )
    for dx, dy, radius in puffs:
        canvas.ellipse(x + dx * size, y + dy * size, radius * size * 0.97, radius * size * 0.74, colour)


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
