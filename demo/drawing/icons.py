"""Small pictures of goods, each about 80 pixels wide around (x, y)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .canvas import Canvas, ellipse_points, faded, mix, pts


def _mug(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.ellipse(x + 24, y + 2, 14, 17, outline=mix(colour, "#000000", 0.2), width=7)
    canvas.rect((x - 30, y - 32, x + 24, y + 34), colour, radius=8)
    canvas.ellipse(x - 3, y - 29, 27, 7, mix(colour, "#000000", 0.5))
    canvas.rect((x - 30, y, x + 24, y + 11), mix(colour, "#ffffff", 0.6))


def _lamp(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.polygon(pts("-24,-2 24,-2 40,38 -40,38", (x, y)), "#fff1b0")
    canvas.rect((x - 3, y - 6, x + 3, y + 36), "#3b3f46")
    canvas.ellipse(x, y + 36, 22, 5, "#3b3f46")
    canvas.polygon(pts("-16,-38 16,-38 36,0 -36,0", (x, y)), colour)


def _plant(canvas: Canvas, x: float, y: float, colour: str) -> None:
    for dx, dy, turn in ((-20, -12, 50), (20, -12, -50), (-9, -24, 75), (9, -24, -75), (0, -14, 90)):
        leaf = ellipse_points((x + dx, y + dy), (24, 8), turn, steps=20)
        canvas.polygon(leaf, mix("#3c9a54", "#1f6b38", abs(dx) / 24))
    canvas.polygon(pts("-22,6 22,6 16,38 -16,38", (x, y)), mix(colour, "#000000", 0.15))
    canvas.rect((x - 26, y + 2, x + 26, y + 13), colour)


def _bag(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.line(ellipse_points((x, y - 10), (17, 26), arc=(180, 360), steps=20), mix(colour, "#000000", 0.35), 6)
    canvas.polygon(pts("-32,-14 32,-14 38,38 -38,38", (x, y)), colour)
    canvas.rect((x - 36, y + 14, x + 36, y + 22), mix(colour, "#ffffff", 0.55))


def _clock(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.ellipse(x, y, 36, fill=colour)
    canvas.ellipse(x, y, 28, fill="#ffffff")
    canvas.line([(x, y - 20), (x, y), (x + 15, y + 8)], "#20242b", 5)


def _book(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.polygon(pts("-22,-36 30,-36 36,-28 36,38 -16,38", (x, y)), "#f6f1e3", "#b8ae95", 1.5)
    canvas.rect((x - 32, y - 38, x + 26, y + 36), colour, radius=3)
    canvas.rect((x - 32, y - 38, x - 22, y + 36), mix(colour, "#000000", 0.35))
    for dy in (-20, -8):
        canvas.rect((x - 12, y + dy, x + 16, y + dy + 5), "#ffffff")


def _chair(canvas: Canvas, x: float, y: float, colour: str) -> None:
    dark = mix(colour, "#000000", 0.35)
    for dx in (-24, 24):
        canvas.line([(x + dx * 0.9, y + 6), (x + dx, y + 40)], dark, 6)
    canvas.rect((x - 25, y - 40, x - 17, y + 8), dark)
    canvas.rect((x + 17, y - 40, x + 25, y + 8), dark)
    canvas.rect((x - 25, y - 38, x + 25, y - 14), colour, radius=5)
    canvas.polygon(pts("-24,2 24,2 32,14 -32,14", (x, y)), colour)


def _ball(canvas: Canvas, x: float, y: float, colour: str) -> None:
    canvas.ellipse(x, y + 34, 26, 5, faded("#000000", 0.2))
    canvas.ellipse(x, y, 34, fill=colour)
    canvas.polygon(ellipse_points((x, y), (34, 12), -30, steps=24), "#ffffff")
    canvas.ellipse(x - 12, y - 18, 7, 5, faded("#ffffff", 0.6))


ICONS: Mapping[str, Callable[[Canvas, float, float, str], None]] = {
    "mug": _mug,
    "lamp": _lamp,
    "plant": _plant,
    "bag": _bag,
    "clock": _clock,
    "book": _book,
    "chair": _chair,
    "ball": _ball,
}
