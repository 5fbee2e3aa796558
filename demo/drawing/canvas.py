"""A supersampled drawing surface on top of Pillow, in logical pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Array = np.ndarray[Any, np.dtype[Any]]

BOLD = 0.03
MONO_ADVANCE = 0.62


@lru_cache(maxsize=256)
def font(size: float) -> Any:
    """Pillow's built-in font at `size` pixels (the only one that every machine has)."""
    return ImageFont.load_default(size=size)


def mix(first: str, second: str, share: float) -> str:
    """The colour `share` of the way from `first` to `second`, as #rrggbb."""
    pairs = zip(ImageColor.getrgb(first)[:3], ImageColor.getrgb(second)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def faded(colour: str, opacity: float) -> str:
    """`colour` with an alpha of `opacity` (0 to 1), as #rrggbbaa."""
    return mix(colour, colour, 0) + f"{round(255 * opacity):02x}"


def pts(coordinates: str, origin: Point = (0.0, 0.0)) -> list[Point]:
    """Points written as "x,y x,y ...", counted from `origin`."""
    pairs = (pair.split(",") for pair in coordinates.split())
    return [(origin[0] + float(x), origin[1] + float(y)) for x, y in pairs]


def ellipse_points(
    centre: Point, radii: Point, turn: float = 0.0, arc: Point = (0, 360), steps: int = 72
) -> list[Point]:
    """Points of an ellipse arc, in degrees clockwise from the right, the ellipse turned by `turn` degrees."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    points = []
    for angle in np.radians(np.linspace(arc[0], arc[1], steps + 1)):
        x, y = radii[0] * math.cos(angle), radii[1] * math.sin(angle)
        points.append((centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos))
    return points


def smooth(points: Sequence[Point], closed: bool = False, steps: int = 12) -> list[Point]:
    """A Catmull-Rom curve through `points`."""
    knots = np.asarray(points, dtype=float)
    if closed:
        knots = np.vstack([knots[-1], knots, knots[:2]])
    else:
        knots = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    curve: list[Point] = []
    for p0, p1, p2, p3 in zip(knots, knots[1:], knots[2:], knots[3:], strict=False):
        for t in np.linspace(0, 1, steps, endpoint=False):
            at = 0.5 * (
                2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3
            )
            curve.append((float(at[0]), float(at[1])))
    return curve if closed else [*curve, (float(knots[-2][0]), float(knots[-2][1]))]


@lru_cache(maxsize=1)
def _falloff() -> Image.Image:
    # Pillow's gradient is 181 at the middle of the edges, 255 only in the corners.
    return Image.radial_gradient("L").point(lambda value: max(round(255 * (1 - value / 181)), 0))


class Canvas:
    """An RGB picture drawn `scale` times too large and reduced at the end; colours may carry alpha."""

    def __init__(self, width: int, height: int, background: str = "#ffffff", scale: int = 3) -> None:
        self.width, self.height, self.scale = width, height, scale
        self.image = Image.new("RGB", (width * scale, height * scale), background)
        self.draw = ImageDraw.Draw(self.image, "RGBA")

    def finish(self) -> Image.Image:
        """The picture at its logical size."""
        return self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def _px(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    def _width(self, width: float) -> int:
        return max(round(width * self.scale), 1)

    def rect(
        self, box: Box, fill: str | None = None, outline: str | None = None, width: float = 1, radius: float = 0
    ) -> None:
        """A rectangle (x0, y0, x1, y1), its corners rounded by `radius`."""
        x0, y0, x1, y1 = (value * self.scale for value in box)
        line = self._width(width) if outline else 0
        self.draw.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), radius * self.scale, fill, outline, line)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float | None = None,
        fill: str | None = None,
        *,
        outline: str | None = None,
        width: float = 1,
        turn: float = 0,
    ) -> None:
        """An ellipse around (x, y), turned by `turn` degrees; a circle where `ry` is left out."""
        ry = rx if ry is None else ry
        if not turn:
            bounds = [(value * self.scale) for value in (x - rx, y - ry, x + rx, y + ry)]
            grow = width * self.scale / 2 if outline else 0
            bounds = [bounds[0] - grow, bounds[1] - grow, bounds[2] + grow - 1, bounds[3] + grow - 1]
            self.draw.ellipse(bounds, fill, outline, self._width(width) if outline else 0)
            return
        points = ellipse_points((x, y), (rx, ry), turn, steps=120)
        if fill:
            self.draw.polygon(self._px(points), fill)
        if outline:
            self.line([*points, points[1]], outline, width)

    def polygon(self, points: Sequence[Point], fill: str | None, outline: str | None = None, width: float = 1) -> None:
        """A filled polygon, outlined with round corners where `outline` is given."""
        if fill:
            self.draw.polygon(self._px(points), fill)
        if outline:
            self.line([*points, points[0], points[1]], outline, width)

    def line(self, points: Sequence[Point], fill: str, width: float = 1, caps: bool = False) -> None:
        """A polyline with round joints; `caps` rounds its ends too (opaque colours only)."""
        pixels, half = self._px(points), (self._width(width) - 1) / 2
        if half < 2 or len(fill) == len("#rrggbbaa"):
            self.draw.line(pixels, fill, self._width(width), joint="curve")
            return
        for (x0, y0), (x1, y1) in pairwise(pixels):
            length = math.dist((x0, y0), (x1, y1)) or 1
            dx, dy = (y0 - y1) * half / length, (x1 - x0) * half / length
            self.draw.polygon([(x0 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1 - dx, y1 - dy), (x0 - dx, y0 - dy)], fill)
        for x, y in pixels if caps else pixels[1:-1]:
            self.draw.ellipse((x - half, y - half, x + half, y + half), fill)

    def dashed(self, start: Point, end: Point, fill: str, width: float = 1, dash: float = 8, gap: float = 6) -> None:
        """A straight dashed line."""
        length = math.dist(start, end)
        at = 0.0
        while at < length:
            shares = (at / length, min(at + dash, length) / length)
            self.line(
                [(start[0] + (end[0] - start[0]) * s, start[1] + (end[1] - start[1]) * s) for s in shares], fill, width
            )
            at += dash + gap

    def arrow(self, points: Sequence[Point], fill: str, width: float = 2, head: float = 10) -> None:
        """A polyline that ends in a filled arrow head."""
        (x0, y0), (x1, y1) = points[-2], points[-1]
        angle = math.atan2(y1 - y0, x1 - x0)
        base = (x1 - head * 0.8 * math.cos(angle), y1 - head * 0.8 * math.sin(angle))
        self.line([*points[:-1], base], fill, width)
        wings = [(x1 - head * math.cos(angle + s), y1 - head * math.sin(angle + s)) for s in (0.45, -0.45)]
        self.polygon([(x1, y1), *wings], fill)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str = "#222222",
        *,
        anchor: str = "la",
        bold: bool = False,
    ) -> None:
        """One line of text (ASCII and the few signs of the built-in font) with Pillow's anchors."""
        if bold:
            self._bold(x * self.scale, y * self.scale, text, font(size * self.scale), fill, anchor)
        else:
            self.draw.text((x * self.scale, y * self.scale), text, fill, font(size * self.scale), anchor)

    def italic(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str = "#222222",
        *,
        anchor: str = "la",
    ) -> None:
        """One line of text in italics."""
        face = font(size * self.scale)
        side = round(face.getlength(text) + 4 * size * self.scale)
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).text((side / 2, side / 2), text, 255, face, anchor)
        shear = (1, 0.22, -0.22 * side / 2, 0, 1, 0)
        mask = mask.transform(mask.size, Image.Transform.AFFINE, shear, Image.Resampling.BICUBIC)
        corner = (round(x * self.scale - side / 2), round(y * self.scale - side / 2))
        self.image.paste(Image.new("RGB", mask.size, fill), corner, mask)

    def _bold(self, x: float, y: float, text: str, face: Any, fill: str, anchor: str) -> None:
        """Thickened text, its letters set apart by as much as they grew."""
        extra = face.size * BOLD
        x -= (face.getlength(text) + extra * (len(text) - 1)) * {"l": 0, "m": 0.5, "r": 1}[anchor[0]]
        for number, character in enumerate(text):
            at = (x + face.getlength(text[: number + 1]) - face.getlength(character) + number * extra, y)
            self.draw.text(at, character, fill, face, "l" + anchor[1], stroke_width=extra)

    def text_width(self, text: str, size: float) -> float:
        """Width of `text` in logical pixels."""
        return float(font(size * self.scale).getlength(text)) / self.scale

    def mono(self, x: float, y: float, text: str, size: float, fill: str = "#222222", bold: bool = False) -> None:
        """Text on a fixed grid, every character in a cell `MONO_ADVANCE` times `size` wide."""
        face, cell = font(size * self.scale), size * self.scale * MONO_ADVANCE
        stroke = size * self.scale * BOLD if bold else 0
        for column, character in enumerate(text):
            if character == " ":
                continue
            left = x * self.scale + column * cell
            if face.getlength(character) <= cell * 1.05:
                at = (left + cell / 2, y * self.scale)
                self.draw.text(at, character, fill, face, "ma", stroke_width=stroke)
            else:
                self._squeezed(left, y * self.scale, character, face, fill, stroke)

    def _squeezed(self, left: float, top: float, character: str, face: Any, fill: str, stroke: float) -> None:
        """Draw a character wider than its cell, pressed into the cell."""
        wide, tall = math.ceil(face.getlength(character)) + 2, math.ceil(face.size * 1.4)
        mask = Image.new("L", (wide, tall))
        ImageDraw.Draw(mask).text((1, 0), character, 255, face, "la", stroke_width=stroke)
        mask = mask.resize((max(round(face.size * MONO_ADVANCE * 0.98), 1), tall), Image.Resampling.LANCZOS)
        self.image.paste(Image.new("RGB", mask.size, fill), (round(left), round(top)), mask)

    def gradient(self, box: Box, stops: Sequence[tuple[float, str]], horizontal: bool = False) -> None:
        """A gradient inside `box`, through `stops` of (position 0..1, colour)."""
        x0, y0, x1, y1 = (round(value * self.scale) for value in box)
        length = x1 - x0 if horizontal else y1 - y0
        at = np.linspace(0, 1, max(length, 1))
        places = [stop[0] for stop in stops]
        colours = np.array([ImageColor.getrgb(stop[1])[:3] for stop in stops])
        ramp = np.stack([np.interp(at, places, colours[:, channel]) for channel in range(3)], axis=1)
        strip = ramp.round().astype(np.uint8)[None] if horizontal else ramp.round().astype(np.uint8)[:, None]
        self.image.paste(Image.fromarray(strip).resize((x1 - x0, y1 - y0), Image.Resampling.NEAREST), (x0, y0))

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float = 0.8) -> None:
        """A soft light around (x, y) that fades out at `radius`."""
        side = max(round(2 * radius * self.scale), 2)
        axis = np.linspace(-1, 1, side)
        distance = np.sqrt(axis[None] ** 2 + axis[:, None] ** 2)
        alpha = np.clip(1 - distance, 0, 1) ** 1.8 * 255 * strength
        corner = (round((x - radius) * self.scale), round((y - radius) * self.scale))
        self.image.paste(Image.new("RGB", (side, side), colour), corner, Image.fromarray(alpha.astype(np.uint8)))

    def light(self, at: Point, radius: float, colour: str, gain: float) -> None:
        """A soft disc of light around `at`; a `gain` above 1 gives it a solid core, below 1 leaves it faint."""
        side = round(2 * radius * self.scale)
        mask = _falloff().resize((side, side), Image.Resampling.BILINEAR).point(lambda value: min(value * gain, 255))
        corner = (round((at[0] - radius) * self.scale), round((at[1] - radius) * self.scale))
        self.image.paste(Image.new("RGB", (side, side), colour), corner, mask)
