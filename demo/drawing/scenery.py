"""The places of photographs in five lights: sky, horizon, ground and weather, and the finish of a photograph."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops

from ..scene import SIDE
from .canvas import Canvas, Point, faded, mix, smooth

GROUNDS = {
    "lake": ("#8cc4df", "#1f6f9c"),
    "meadow": ("#a9d069", "#5a9c3b"),
    "valley": ("#9ac46a", "#4f8f42"),
    "desert": ("#f3dda4", "#d9ac62"),
    "city": ("#a2a4a8", "#6d7077"),
    "beach": ("#f2e2b6", "#e2c083"),
    "forest": ("#8fb068", "#55803f"),
}
SKIES = {
    "a sunny day": ("#3f97e6", "#d3ecfb"),
    "a red sunset": ("#5d3a7c", "#ff7d3c"),
    "a starry night": ("#070d2a", "#25386b"),
    "a snowy day": ("#b4bfcc", "#e6ecf2"),
    "a rainy day": ("#59636f", "#949fa9"),
}
LIGHTS = tuple(SKIES)
TINTS = {
    "a sunny day": ("#ffffff", 0.0),
    "a red sunset": ("#8a3f2a", 0.28),
    "a starry night": ("#0a1236", 0.6),
    "a snowy day": ("#f3f6fa", 0.82),
    "a rainy day": ("#5f6a75", 0.4),
}


@lru_cache(maxsize=4)
def _lens(side: int) -> Image.Image:
    """The darker corners and the grain of a photograph, the same for all."""
    axis = np.linspace(-1, 1, side)
    light = 255 - 52 * np.clip(axis[None] ** 2 + axis[:, None] ** 2 - 0.75, 0, 1)
    light -= np.abs(np.random.default_rng(1).normal(0, 5, (side, side)))
    return Image.merge("RGB", [Image.fromarray(light.clip(0, 255).astype(np.uint8))] * 3)


def photo(canvas: Canvas) -> Image.Image:
    """The finished picture as a photograph."""
    return ImageChops.multiply(canvas.image, _lens(canvas.image.width)).resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _sky(canvas: Canvas, rng: np.random.Generator, light: str, horizon: float) -> None:
    """The sky of a time of day: sun, moon and stars, or clouds."""
    canvas.gradient((0, 0, SIDE, horizon), [(0, SKIES[light][0]), (1, SKIES[light][1])])
    x, y = rng.uniform(60, SIDE - 60), rng.uniform(34, 60)
    if light == "a sunny day":
        for radius, opacity in ((52.0, 0.25), (38.0, 0.4)):
            canvas.ellipse(x, y, radius, fill=faded("#fff4b8", opacity))
        canvas.ellipse(x, y, 26, fill="#fffbd8")
    elif light == "a red sunset":
        for radius, opacity in ((110.0, 0.25), (75.0, 0.35)):
            canvas.ellipse(x, horizon - 8, radius, fill=faded("#ffc45e", opacity))
        canvas.ellipse(x, horizon - 8, 46, fill="#ffe9a0")
    elif light == "a starry night":
        for _ in range(34):
            canvas.ellipse(rng.uniform(0, SIDE), rng.uniform(0, horizon), rng.uniform(1, 2), fill="#ffffff")
        canvas.ellipse(x, y, 24, fill="#f4efcf")
        canvas.ellipse(x + 11, y - 6, 21, fill=mix(*SKIES[light], y / horizon))
    if light in ("a sunny day", "a rainy day"):
        colour = "#ffffff" if light == "a sunny day" else "#464f5a"
        for _ in range(3):
            x, y, size = rng.uniform(0, SIDE), rng.uniform(20, horizon * 0.6), rng.uniform(16, 30)
            for dx, dy, radius in ((-1.3, 0.3, 0.6), (-0.4, -0.1, 0.9), (0.6, 0.0, 0.8), (1.4, 0.35, 0.5)):
                canvas.ellipse(
                    x + dx * size, y + dy * size, radius * size * 1.2, radius * size * 0.7, faded(colour, 0.8)
                )


def _tinted(colour: str, light: str) -> str:
    return mix(colour, *TINTS[light])


def _hills(rng: np.random.Generator, level: float, rise: float) -> list[Point]:
    knots = [(float(x), level - rng.uniform(0.1, 1) * rise) for x in range(-30, SIDE + 80, 75)]
    return [*smooth(knots, steps=5), (SIDE + 30.0, level + 4), (-30.0, level + 4)]


def _distance(canvas: Canvas, rng: np.random.Generator, place: str, light: str, horizon: float) -> None:
    """What stands on the horizon of a place."""
    if place == "valley":
        for x in np.linspace(-20, 500, 6) + rng.uniform(-20, 20):
            half, top = rng.uniform(80, 110), horizon - rng.uniform(80, 125)
            rock = _tinted("#71829a", "a rainy day" if light == "a snowy day" else light)
            canvas.polygon([(x - half, horizon), (x, top), (x + half, horizon)], rock)
            canvas.polygon([(x, top), (x + half, horizon), (x + half * 0.2, horizon)], faded("#10202e", 0.25))
            snow = [(x - half * 0.3, top + 30), (x - 8, top + 24), (x + 4, top + 34), (x + half * 0.3, top + 30)]
            canvas.polygon([(x, top), *reversed(snow)], "#f4f7fb")
    elif place == "city":
        x = -10.0
        while x < SIDE:
            wide, tall = rng.uniform(30, 60), rng.uniform(45, 130)
            wall = _tinted(mix("#8d99ab", "#5d6778", rng.uniform()), light if light != "a snowy day" else "a rainy day")
            canvas.rect((x, horizon - tall, x + wide, horizon + 2), wall)
            pane = "#ffd978" if light in ("a starry night", "a red sunset") else mix(wall, "#ffffff", 0.45)
            for y in range(round(horizon - tall) + 8, round(horizon) - 14, 18):
                canvas.line([(x + 6, y), (x + wide - 6, y)], pane, 6)
            x += wide + rng.uniform(1, 8)
    elif place == "forest":
        for x in np.arange(-10, SIDE + 30, 19) + rng.uniform(-6, 6):
            tall = rng.uniform(75, 140)
            leaf = _tinted(
                mix("#1d4a32", "#2f6a3d", rng.uniform()), light if light != "a snowy day" else "a red sunset"
            )
            foot = horizon + rng.uniform(2, 10)
            canvas.polygon([(x - 22, foot), (x, foot - tall), (x + 22, foot)], leaf)
    elif place != "beach":
        far, near = {"desert": ("#e8c47e", "#dcae62")}.get(place, ("#86b48c", "#5f9760"))
        haze = "a rainy day" if light == "a snowy day" else light  # white hills could not be seen
        canvas.polygon(_hills(rng, horizon, 52), _tinted(far, haze))
        canvas.polygon(_hills(rng, horizon, 28), _tinted(near, haze))


def paint_backdrop(canvas: Canvas, rng: np.random.Generator, place: str, light: str) -> float:
    """Paint sky, horizon and ground; returns the height of the horizon."""
    horizon = float(rng.uniform(158, 186))
    _sky(canvas, rng, light, horizon)
    _distance(canvas, rng, place, light, horizon)
    ground = light if place != "lake" or light != "a snowy day" else "a rainy day"
    far, near = (_tinted(colour, ground) for colour in GROUNDS[place])
    canvas.gradient((0, horizon, SIDE, SIDE), [(0, far), (1, near)])
    if place == "beach":
        water = _tinted("#2b8fc0", "a rainy day" if light == "a snowy day" else light)
        canvas.gradient((0, horizon - 42, SIDE, horizon + 4), [(0, water), (1, mix(water, "#ffffff", 0.3))])
        canvas.line(_hills(rng, horizon + 8, 6)[:-2], "#f4fafc", 4)
    elif place == "city":
        for dash in range(-20, SIDE, 90):
            canvas.line([(dash, horizon + 14), (dash + 46, horizon + 14)], mix(far, "#ffffff", 0.5), 3)
    for depth in np.sort(rng.uniform(0, 1, 60)):
        x, y = rng.uniform(0, SIDE), horizon + 10 + depth * (SIDE - horizon - 10)
        mark = faded("#ffffff" if rng.uniform() < 0.5 else "#0c2a20", 0.16)
        if place in ("lake", "desert", "beach", "city"):
            canvas.line([(x - 8 - 20 * depth, y), (x + 8 + 20 * depth, y)], mark, 1 + depth)
        else:
            canvas.line([(x - 3, y - 7), (x, y), (x + 4, y - 8)], mark, 1 + depth)
    return horizon


def paint_weather(canvas: Canvas, rng: np.random.Generator, light: str) -> None:
    """Snowflakes or streaks of rain in front of everything."""
    if light == "a snowy day":
        for x, y, radius in rng.uniform((0, 0, 1.5), (SIDE, SIDE, 3.2), (70, 3)):
            canvas.ellipse(x, y, radius, fill="#ffffff")
    elif light == "a rainy day":
        for x, y in rng.uniform(0, SIDE, (70, 2)):
            canvas.line([(x, y), (x - 5, y + 18)], "#dfe8f090", 1)


def unseen(place: str, light: str) -> tuple[str, ...]:
    """The colours that would not stand out from the ground of a place."""
    hidden = {"lake": ("blue",), "meadow": ("green",), "valley": ("green",), "forest": ("green",), "city": ("black",)}
    lights = {"a snowy day": ("white", "grey"), "a starry night": ("black",), "a rainy day": ("grey",)}
    sand = ("yellow", "golden") if place in ("desert", "beach") else ()
    return (*hidden.get(place, ()), *lights.get(light, ()), *sand)
