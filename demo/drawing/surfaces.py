"""What documents lie on, hang on and stand before: table tops, walls, land out of focus; and sheets of paper."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageColor

from ..scene import SIDE
from .canvas import Box, Canvas, Point, faded, mix, smooth
from .chance import pick
from .shapes import cloud, conifer


def _texture(canvas: Canvas, rng: np.random.Generator, cells: tuple[int, int], dark: str, light: str) -> None:
    """Fill the canvas with smooth noise of `cells` (across, down) between two colours."""
    low, high = (np.array(ImageColor.getrgb(colour), dtype=float) for colour in (dark, light))
    pixels = (low + (high - low) * rng.random((cells[1], cells[0], 1))).astype(np.uint8)
    canvas.image.paste(Image.fromarray(pixels).resize(canvas.image.size, Image.Resampling.BILINEAR))


def paint_sheet(canvas: Canvas, box: Box, colour: str) -> None:
    """A sheet of paper with its shadow to the lower right, shaded a little towards its foot."""
    x0, y0, x1, y1 = box
    for grow in (8, 5, 2):
        canvas.rect((x0 + 4, y0 + 6, x1 + grow, y1 + grow), faded("#000000", 0.16), radius=4)
    canvas.gradient(box, [(0, mix(colour, "#ffffff", 0.35)), (1, mix(colour, "#000000", 0.05))])


def paint_table_top(canvas: Canvas, rng: np.random.Generator, table: str) -> None:
    """Fill the canvas with a table seen from above."""
    if table == "a wooden table":
        _texture(canvas, rng, (70, 5), "#8a5630", "#b98150")
        for x in np.arange(rng.uniform(20, 100), SIDE, 112).tolist():
            canvas.rect((x, 0, x + 3, SIDE), faded("#2b1708", 0.6))
    elif table == "a marble top":
        _texture(canvas, rng, (9, 9), "#d3d2d0", "#f3f2f0")
        for _ in range(7):
            x, y = rng.uniform(-40, 440), rng.uniform(-40, 440)
            knots = [(x + step * 45, y + step * 30 + rng.uniform(-22, 22)) for step in range(5)]
            canvas.line(smooth(knots, steps=5), "#a9a8ab", rng.uniform(1.5, 3.5))
    elif table == "a black slate":
        _texture(canvas, rng, (24, 24), "#222428", "#34373c")
    else:
        base = {"a checked cloth": "#f6f1ea", "a blue cloth": "#2f62b4", "a green mat": "#2c8a5a"}[table]
        _texture(canvas, rng, (110, 110), mix(base, "#000000", 0.1), base)
        step = rng.uniform(40, 52)
        for at in np.arange(rng.uniform(-step, 0), SIDE, step).tolist():
            if table == "a checked cloth":
                canvas.rect((at, 0, at + step / 2, SIDE), faded("#d02a30", 0.55))
                canvas.rect((0, at, SIDE, at + step / 2), faded("#d02a30", 0.55))
            elif table == "a green mat":
                canvas.line([(at, 0), (at, SIDE)], "#8fd0a8", 1.5)
                canvas.line([(0, at), (SIDE, at)], "#8fd0a8", 1.5)


def paint_wall(canvas: Canvas, rng: np.random.Generator, wall: str) -> None:
    """Fill the canvas with a wall."""
    if wall == "a concrete wall":
        _texture(canvas, rng, (50, 50), "#94969a", "#b4b5b6")
        for at in (rng.uniform(0, 60), rng.uniform(390, 448)):
            canvas.line([(at, 0), (at, SIDE)], "#7b7d81", 3)
    elif wall == "a wooden fence":
        _texture(canvas, rng, (64, 4), "#77502f", "#a87a4c")
        step = rng.uniform(50, 64)
        for at in np.arange(rng.uniform(-step, 0), SIDE, step).tolist():
            canvas.rect((at, 0, at + 5, SIDE), "#3a2414")
    elif wall == "a brick wall":
        _texture(canvas, rng, (30, 30), "#b9aea2", "#cfc5ba")
        wide, high = rng.uniform(62, 76), rng.uniform(26, 32)
        for row in range(18):
            for x in np.arange(-wide * (0.5 if row % 2 else 0.95), SIDE, wide).tolist():
                shade = mix("#a8482f", "#7c2f22", rng.random())
                canvas.rect((x, row * high, x + wide - 5, row * high + high - 5), shade)
    else:
        _texture(canvas, rng, (8, 8), "#d5e4e6", "#ebf3f4")
        step = rng.uniform(44, 56)
        for at in np.arange(rng.uniform(-step, 0), SIDE, step).tolist():
            canvas.line([(at, 0), (at, SIDE)], "#8ba4aa", 3)
            canvas.line([(0, at), (SIDE, at)], "#8ba4aa", 3)


def _city(canvas: Canvas, rng: np.random.Generator) -> None:
    """Houses along a street, for a canvas of half the size."""
    x = rng.uniform(-30, 0)
    while x < 224:
        wide, top = rng.uniform(38, 60), rng.uniform(10, 70)
        canvas.rect((x, top, x + wide, 190), pick(rng, ("#a8745a", "#8d8f98", "#c2a27c", "#7c6a64", "#b5b0a6")))
        for wx in np.arange(x + 6, x + wide - 8, 14).tolist():
            for wy in np.arange(top + 8, 176, 22).tolist():
                canvas.rect((wx, wy, wx + 8, wy + 12), "#4a5a6c")
        x += wide
    canvas.rect((0, 178, 224, 192), "#b9b7b2")
    canvas.rect((0, 192, 224, 224), "#56585c")


def _hills(rng: np.random.Generator, level: float, height: float) -> list[Point]:
    """The area below a soft skyline, for a canvas of half the size."""
    knots = [(float(x), level - rng.uniform(0, height)) for x in range(-20, 261, 40)]
    return [*smooth(knots, steps=6), (260, 230), (-20, 230)]


def outdoors(rng: np.random.Generator, scene: str, scale: int) -> Image.Image:
    """What lies behind the sign, drawn at half the size: enlarged, it looks out of focus as in a photo."""
    canvas = Canvas(SIDE // 2, SIDE // 2, "#8fc1ea", scale)
    canvas.gradient((0, 0, 224, 224), [(0, pick(rng, ("#3f8fd6", "#5aa2dc", "#6f9fcc"))), (0.8, "#e4f0f8")])
    if scene != "a city street":
        cloud(canvas, rng.uniform(10, 210), rng.uniform(12, 34), rng.uniform(14, 24))
    if scene == "a city street":
        _city(canvas, rng)
    elif scene == "green fields":
        for level, colour in ((150, "#7aa860"), (172, "#63a043"), (200, "#4b8a30")):
            canvas.polygon(_hills(rng, level, 26), colour)
        for x in rng.uniform(0, 224, 5):
            canvas.ellipse(x, rng.uniform(140, 160), rng.uniform(9, 14), fill="#3c6e2c")
    elif scene == "a sandy beach":
        sea = rng.uniform(110, 140)
        canvas.gradient((0, sea, 224, 186), [(0, "#1d74b8"), (1, "#56bfd0")])
        canvas.polygon(_hills(rng, 184, 10), "#f3f4ea")
        canvas.polygon(_hills(rng, 192, 8), "#e8d09a")
    elif scene == "snowy mountains":
        for x in (rng.uniform(10, 70), rng.uniform(110, 150), rng.uniform(180, 220)):
            top = rng.uniform(40, 80)
            canvas.polygon([(x - 80, 190), (x, top), (x + 80, 190)], "#8494a8")
            canvas.polygon([(x - 32, top + 44), (x, top), (x + 32, top + 44), (x + 10, top + 34), (x - 8, top + 50)],
                           "#ffffff")  # fmt: skip
        canvas.polygon(_hills(rng, 180, 16), "#eef3f8")
        for x in rng.uniform(0, 224, 5):
            conifer(canvas, x, rng.uniform(180, 215), rng.uniform(34, 54))
    else:
        for level, colour in ((158, "#dba45c"), (186, "#cf8d44"), (212, "#be7a35")):
            canvas.polygon(_hills(rng, level, 34), colour)
        for x in (rng.uniform(0, 60), rng.uniform(160, 220)):
            foot = rng.uniform(190, 215)
            canvas.line([(x, foot), (x, foot - 54)], "#3f7a3c", 8, caps=True)
            canvas.line([(x - 14, foot - 40), (x - 14, foot - 26), (x + 13, foot - 26), (x + 13, foot - 44)],
                        "#3f7a3c", 6, caps=True)  # fmt: skip
    return canvas.image.resize((SIDE * scale, SIDE * scale), Image.Resampling.BILINEAR)
