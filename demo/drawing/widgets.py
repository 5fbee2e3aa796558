"""Windows, phones, tablets and what is on them: buttons, switches."""

from __future__ import annotations

import numpy as np

from ..scene import SIDE
from .canvas import Box, Canvas, Point, faded, mix, pts
from .chance import pick

COLOURS = {
    "red": "#d8262c",
    "orange": "#f4861a",
    "yellow": "#f7d32b",
    "green": "#259a48",
    "blue": "#2063dc",
    "purple": "#8a2fb8",
    "black": "#20242b",
}


def tint(rng: np.random.Generator, colour: str, amount: float = 0.12) -> str:
    """`colour`, a little lighter or darker."""
    return mix(colour, pick(rng, ("#ffffff", "#000000")), rng.uniform(0, amount))


def ground(canvas: Canvas, rng: np.random.Generator) -> None:
    """A pale or dusky gradient over the whole picture, for a device or window to stand on."""
    tone = pick(rng, ("#c9d6e8", "#e6d9c6", "#d5e4d2", "#e3d3e2", "#7f8da3", "#a08c7c", "#6f8a86", "#d9dadd"))
    light = mix(tone, "#ffffff", rng.uniform(0, 0.35))
    canvas.gradient((0, 0, SIDE, SIDE), [(0, light), (1, mix(tone, "#000000", 0.12))])


def lifted(canvas: Canvas, box: Box, radius: float, depth: float = 4) -> None:
    """A cheap soft shadow under `box`: nested pale frames (what the box hides needs none) instead of a blur."""
    x0, y0, x1, y1 = box
    for grow in (depth, depth * 0.65, depth * 0.35, 0):
        under = (x0 - grow, y0 - grow + depth, x1 + grow, y1 + grow + depth)
        canvas.rect(under, None, faded("#000000", 0.065), 2 * depth + radius / 3, radius=radius + grow)


def lights(canvas: Canvas, x: float, y: float, radius: float = 5) -> None:
    """The three buttons of a window, from x on."""
    for number, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        canvas.ellipse(x + number * radius * 3.2, y, radius, fill=colour)


def ink(colour: str) -> str:
    """The colour of text on a named colour."""
    return "#1d2026" if colour == "yellow" else "#ffffff"


def button(canvas: Canvas, box: Box, word: str, colour: str, shade: str, size: float, radius: float) -> None:
    """A button with a word; `shade` is the named `colour` as it is painted."""
    lifted(canvas, box, radius, 2)
    canvas.rect(box, shade, mix(shade, "#000000", 0.2), 1.5, radius=radius)
    canvas.text((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, word, size, ink(colour), anchor="mm", bold=True)


def paint_switch(canvas: Canvas, end: Point, colour: str, on: bool) -> None:
    """A switch whose right end is at `end`."""
    x, y = end
    canvas.rect((x - 66, y - 18, x, y + 18), colour, radius=18)
    canvas.ellipse(x - 18 if on else x - 48, y, 15, fill="#ffffff")


def paint_browser(canvas: Canvas, rng: np.random.Generator, site: str, colour: str) -> Box:
    """A browser window with the site's header; gives the area of the page below the header."""
    x0, y0, x1, y1 = (rng.uniform(4, 16), rng.uniform(4, 14), SIDE - rng.uniform(4, 16), SIDE - rng.uniform(6, 16))
    lifted(canvas, (x0, y0, x1, y1), 10)
    canvas.rect((x0, y0, x1, y1), tint(rng, "#fafbfd", 0.04), radius=10)
    canvas.rect((x0, y0, x1, y0 + 34), "#d9dee6", radius=10)
    lights(canvas, x0 + 16, y0 + 16)
    canvas.rect((x0 + 66, y0 + 5, x1 - 14, y0 + 27), "#ffffff", radius=11)
    canvas.text(x0 + 78, y0 + 16, f"https://{site.lower()}.example", 14, "#59616e", anchor="lm")
    shade, high = tint(rng, COLOURS[colour]), rng.uniform(46, 56)
    canvas.rect((x0, y0 + 31, x1, y0 + 31 + high), shade)
    left = x0 + rng.uniform(14, 60)
    middle = y0 + 31 + high / 2
    canvas.text(left, middle, site, rng.uniform(32, 37), ink(colour), anchor="lm", bold=True)
    cart = (x1 - 52, middle - 12)
    canvas.line(pts("0,2 7,2 12,18 28,18 31,7 9,7", cart), ink(colour), 2.5)
    for dx in (14, 26):
        canvas.ellipse(cart[0] + dx, cart[1] + 23, 3, fill=ink(colour))
    return (x0, y0 + 31 + high, x1, y1)


def paint_phone(canvas: Canvas, rng: np.random.Generator, paper: str, pen: str) -> Box:
    """A phone on a plain ground; gives the free area of its screen."""
    ground(canvas, rng)
    wide, high = rng.uniform(278, 312), rng.uniform(418, 438)
    x0, y0 = rng.uniform(12, SIDE - wide - 12), rng.uniform(4, SIDE - high - 4)
    box = (x0, y0, x0 + wide, y0 + high)
    lifted(canvas, box, 36, 7)
    body = pick(rng, ("#15171c", "#2b2f38", "#c9ccd2", "#3a4a63", "#8d6f5a"))
    canvas.rect((x0 + wide - 2, y0 + 90, x0 + wide + 3, y0 + 140), mix(body, "#000000", 0.3), radius=2)
    canvas.rect(box, body, mix(body, "#ffffff", 0.3), 2, radius=36)
    inner = (x0 + 9, y0 + 9, x0 + wide - 9, y0 + high - 9)
    canvas.rect(inner, paper, radius=28)
    canvas.rect((x0 + wide / 2 - 36, y0 + 14, x0 + wide / 2 + 36, y0 + 27), "#0c0d10", radius=6)
    canvas.rect((inner[2] - 46, y0 + 16, inner[2] - 22, y0 + 27), None, pen, 2, radius=3)
    canvas.rect((inner[2] - 43, y0 + 19, inner[2] - 43 + rng.uniform(6, 18), y0 + 24), pen)
    canvas.rect((x0 + wide / 2 - 46, inner[3] - 9, x0 + wide / 2 + 46, inner[3] - 5), pen, radius=2)
    return (inner[0], inner[1] + 26, inner[2], inner[3] - 14)


def paint_tablet(canvas: Canvas, rng: np.random.Generator, paper: str) -> Box:
    """A tablet in landscape; gives the area of its screen."""
    ground(canvas, rng)
    wide, high = rng.uniform(416, 436), rng.uniform(318, 350)
    x0, y0 = rng.uniform(4, SIDE - wide - 4), rng.uniform(20, SIDE - high - 20)
    box = (x0, y0, x0 + wide, y0 + high)
    lifted(canvas, box, 24, 9)
    body = pick(rng, ("#15171c", "#2b2f38", "#d4d7dc", "#f2f2f0"))
    canvas.rect(box, body, mix(body, "#7a7f88", 0.4), 2, radius=24)
    canvas.ellipse(x0 + 10, y0 + high / 2, 3, fill="#4a4f59")
    inner = (x0 + 20, y0 + 16, x0 + wide - 16, y0 + high - 16)
    canvas.rect(inner, paper, radius=6)
    return inner
