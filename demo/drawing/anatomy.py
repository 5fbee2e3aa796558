"""The chest on an X-ray film, and a pacemaker in it.

Its outlines are in the coordinates of a film of 576 x 640, its middle line at 288.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from ..scene import SIDE
from .canvas import Array, Canvas, Point, pts, smooth

MIDDLE = np.array((288.0, 322.0))
ZONES = {"upper": (102.0, 180.0), "middle": (124.0, 294.0), "lower": (142.0, 410.0)}


def _curve(coordinates: str, closed: bool = True) -> Array:
    points: Array = np.array(smooth(pts(coordinates), closed=closed, steps=6)) - MIDDLE
    return points


@lru_cache(maxsize=1)
def _anatomy() -> dict[str, Array]:
    """Outlines of one side or in the middle, relative to the middle of the film."""
    parts = {
        "torso": _curve("170,30 406,30 440,96 546,130 574,400 560,690 16,690 2,400 30,130 136,96"),
        "lung": _curve("250,92 196,110 140,200 104,330 90,470 120,508 190,470 252,478 258,330 262,180"),
        "heart": _curve("262,262 320,250 352,300 408,380 430,446 392,492 300,502 244,484 236,400 250,320"),
        "belly": _curve("60,720 84,530 170,476 250,500 330,506 420,492 492,530 516,720"),
        "clavicle": _curve("272,122 210,98 140,96 70,80", closed=False),
    }
    for number in range(9):
        y, reach = 92 + number * 49, 150 + 44 * math.sin(min(number, 6) / 6 * math.pi / 2)
        shape = ((22, 0), (reach * 0.55, number * 2 - 24), (reach * 0.94, 22), (reach * 1.02, 74))
        parts[f"rib{number}"] = np.array(smooth([(-x, y + dy) for x, dy in shape], steps=6)) - (0, MIDDLE[1])
        front = smooth([(-reach * x, y + dy) for x, dy in ((1.02, 74), (0.8, 104), (0.45, 122))], steps=6)
        parts[f"front{number}"] = np.array(front) - (0, MIDDLE[1])
    return parts


def _put(
    image: Image.Image, path: Array, place: tuple[Point, Point], fill: int, width: int = 0, mirror: bool = False
) -> None:
    """Draw a filled part or a line of `width` on a film of any size; `place` is the chest's size and shift."""
    share, (size, shift) = image.width / SIDE, place
    factor = (-size[0] * share if mirror else size[0] * share, size[1] * share)
    points = (path * factor + ((SIDE / 2 + shift[0]) * share, (SIDE / 2 + shift[1]) * share)).ravel().tolist()
    if width:
        ImageDraw.Draw(image).line(points, fill, width)
    else:
        ImageDraw.Draw(image).polygon(points, fill)


def _bones(rng: np.random.Generator, place: tuple[Point, Point]) -> Image.Image:
    """Ribs, collar bones and vertebrae, as a mask of half the picture's width."""
    bones, parts = Image.new("L", (SIDE // 2, SIDE // 2)), _anatomy()
    for mirror in (False, True):
        for number in range(9):
            _put(bones, parts[f"front{number}"], place, 26, 4, mirror)
            _put(bones, parts[f"rib{number}"], place, 62, 5, mirror)
        _put(bones, parts["clavicle"], place, 105, 7, mirror)
    spine = (SIDE / 2 + place[1][0]) / 2
    for y in range(int(rng.integers(14)), SIDE // 2, 15):
        ImageDraw.Draw(bones).rectangle((spine - 8, y, spine + 8, y + 10), 34)
    return bones.filter(ImageFilter.BoxBlur(0.8))


def chest_film(rng: np.random.Generator, place: tuple[Point, Point], enlarged: bool) -> Image.Image:
    """The chest without findings, half as wide as the picture: soft parts are drawn small and enlarged."""
    parts, small = _anatomy(), (SIDE // 4, SIDE // 4)
    film = Image.new("L", (SIDE // 8, SIDE // 8), 6)
    _put(film, parts["torso"], place, 112)
    film = film.resize(small, Image.Resampling.BICUBIC)
    for mirror in (False, True):
        _put(film, parts["lung"], place, int(rng.integers(24, 38)), mirror=mirror)
    _put(film, parts["belly"], place, 138)
    _put(film, parts["heart"] * (1.42 if enlarged else 0.82, 1), place, 158)
    spine = (SIDE / 2 + place[1][0]) / 4
    ImageDraw.Draw(film).rectangle((spine - 5, 0, spine + 5, SIDE // 4), 165)
    film = film.filter(ImageFilter.GaussianBlur(1.2)).resize((SIDE // 2, SIDE // 2), Image.Resampling.BILINEAR)
    film.paste(236, (0, 0), _bones(rng, place))
    speckle = Image.fromarray(rng.integers(0, 256, (75, 75), dtype=np.uint8)).resize(film.size)
    return Image.blend(film, speckle, 0.05)


def paint_pacer(canvas: Canvas, at: Point, heart: Point) -> None:
    """A pacemaker under the skin of the shoulder and its wire to the heart."""
    middle = (heart[0] + (at[0] - heart[0]) * 0.25, at[1] - 8)
    canvas.line(smooth([at, middle, heart], steps=8), "#f4f4f4", 3)
    canvas.rect((at[0] - 25, at[1] - 21, at[0] + 25, at[1] + 25), "#fbfbfb", "#9a9a9a", 2, radius=15)
    canvas.rect((at[0] - 13, at[1] + 1, at[0] + 13, at[1] + 15), "#c4c4c4", radius=4)
