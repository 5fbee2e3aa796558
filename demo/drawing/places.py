"""What the clips show: a sturdy figure, and the places where things happen."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..scene import CLIP_SIDE
from .canvas import Canvas, ellipse_points, faded, mix
from .chance import pick
from .shapes import cloud, conifer

COLOURS = {
    "red": "#d8262b", "blue": "#2358d8", "yellow": "#f7d21e", "green": "#179a3c", "purple": "#8b2cc4",
    "white": "#fbfbfb", "black": "#17171c", "pink": "#ff8cc0",
}  # fmt: skip
GROUNDS = {"green grass": "#4caf50", "yellow sand": "#ecd28a", "white ice": "#e6f1f8", "orange clay": "#cf7440"}
SKIES = {
    "day": ("#4a9be6", "#d9effd", "#ffffff", 0.0),
    "sunset": ("#6a3f93", "#ff9d4d", "#5a2038", 0.35),
    "night": ("#060a20", "#1f2d5c", "#060a20", 0.62),
}
BOARDS = {"green": "#1f6b47", "black": "#23262b", "blue": "#1d3f86", "white": "#f7f7f4"}


def surface(scale: int) -> Canvas:
    """An empty canvas; where the result is larger than the logical size its edges are smoothed too."""
    return Canvas(CLIP_SIDE, CLIP_SIDE, scale=scale if scale == 1 else 2 * scale)


def copy_of(still: Canvas) -> Canvas:
    """A canvas that starts as a copy of a drawn background."""
    canvas = Canvas(still.width, still.height, scale=still.scale)
    canvas.image.paste(still.image)
    return canvas


def finished(canvas: Canvas) -> Image.Image:
    """The frame at the size that was asked of `surface`."""
    if canvas.scale == 1:
        return canvas.image
    side = CLIP_SIDE * canvas.scale // 2
    return canvas.image.resize((side, side), Image.Resampling.BOX)


@dataclass(frozen=True)
class Dress:
    """The colours of a figure; without a hat it has hair."""

    shirt: str
    trousers: str
    hat: str | None = None
    skin: str = "#e5b48d"


@dataclass(frozen=True)
class Pose:
    """How a figure stands: legs apart (0 to 1), arms up (0 to 1), crouched (0 to 1), pixels above the ground."""

    step: float = 0.0
    arms: float = 0.0
    crouch: float = 0.0
    lift: float = 0.0


def paint_figure(canvas: Canvas, x: float, ground: float, size: float, dress: Dress, pose: Pose) -> None:
    """A sturdy figure seen from the front, about `size` pixels tall, its feet on `ground`."""
    canvas.ellipse(x, ground, size * 0.26, size * 0.04, faded("#000000", 0.25))
    foot = ground - pose.lift
    hip = foot - size * 0.36 * (1 - 0.7 * pose.crouch)
    shoulder, shirt, trousers = hip - size * 0.34, COLOURS[dress.shirt], COLOURS[dress.trousers]
    for side in (-1, 1):
        at = x + side * size * (0.09 + 0.12 * pose.step + 0.05 * pose.crouch)
        knee = (x + side * size * (0.09 + 0.06 * pose.step + 0.17 * pose.crouch), (hip + foot) / 2)
        canvas.line([(x + side * size * 0.08, hip), knee, (at, foot)], trousers, size * 0.13, caps=True)
        canvas.ellipse(at + side * size * 0.02, foot, size * 0.08, size * 0.035, "#3a2a20")
        angle = math.radians(14 + 136 * pose.arms)
        start = (x + side * size * 0.15, shoulder + size * 0.06)
        hand = (start[0] + side * size * 0.3 * math.sin(angle), start[1] + size * 0.3 * math.cos(angle))
        canvas.line([start, hand], mix(shirt, "#000000", 0.12), size * 0.1, caps=True)
        canvas.ellipse(*hand, size * 0.055, fill=dress.skin)
    box = (x - size * 0.17, shoulder, x + size * 0.17, hip + size * 0.05)
    canvas.rect(box, shirt, mix(shirt, "#000000", 0.3), 1, radius=size * 0.07)
    head = shoulder - size * 0.1
    canvas.ellipse(x, head, size * 0.11, size * 0.12, dress.skin)
    if dress.hat is None:
        canvas.polygon(
            ellipse_points((x, head - size * 0.02), (size * 0.12, size * 0.12), arc=(180, 360), steps=16), "#3b2618"
        )
    else:
        hat = COLOURS[dress.hat]
        canvas.rect((x - size * 0.12, head - size * 0.24, x + size * 0.12, head - size * 0.04), hat, radius=size * 0.04)
        canvas.rect(
            (x - size * 0.19, head - size * 0.08, x + size * 0.19, head - size * 0.03), mix(hat, "#000000", 0.25)
        )
    for side in (-1, 1):
        canvas.ellipse(x + side * size * 0.04, head + size * 0.02, size * 0.014, fill="#22190f")


def paint_pitch(rng: np.random.Generator, scale: int, ground: str, goals: dict[str, str]) -> Canvas:
    """A stand with a crowd, a board and the ground with a goal at each side."""
    canvas, top = surface(scale), float(rng.uniform(92, 104))
    canvas.gradient((0, 0, CLIP_SIDE, 24), [(0, "#9fc9ee"), (1, "#dcecf8")])
    canvas.rect((0, 22, CLIP_SIDE, top), "#59637c")
    crowd = ("#e9c6a4", "#c9ccd6", "#8f97ab", "#d9b08c", "#a9b3c9")
    for row in range(5):
        for column in range(19):
            head = (column * 12 + 6 * (row % 2), 32 + row * 12)
            canvas.ellipse(*head, 4, 4.5, pick(rng, crowd))
    canvas.rect((0, top - 14, CLIP_SIDE, top), "#35415e")
    colour = GROUNDS[ground]
    canvas.rect((0, top, CLIP_SIDE, CLIP_SIDE), colour)
    wide = float(rng.uniform(30, 52))
    for x in np.arange(0, CLIP_SIDE, 2 * wide).tolist():
        if x + 1 < CLIP_SIDE:
            canvas.rect((x, top, min(x + wide, CLIP_SIDE), CLIP_SIDE), mix(colour, "#ffffff", 0.1))
    line = "#d0453f" if ground == "white ice" else "#ffffff"
    canvas.line([(CLIP_SIDE / 2, top), (CLIP_SIDE / 2, CLIP_SIDE)], line, 2)
    canvas.ellipse(CLIP_SIDE / 2, 178, 46, 17, outline=line, width=2)
    for side, x in (("left", 0.0), ("right", CLIP_SIDE - 50.0)):
        paint = COLOURS[goals[side]]
        canvas.rect((x, 74, x + 50, 150), faded("#ffffff", 0.45))
        for step in range(1, 5):
            canvas.line([(x + step * 10, 76), (x + step * 10, 150)], faded("#777777", 0.5))
            canvas.line([(x, 74 + step * 15), (x + 50, 74 + step * 15)], faded("#777777", 0.5))
        canvas.line([(x + 5, 150), (x + 5, 79), (x + 45, 79), (x + 45, 150)], paint, 11)
    return canvas


def paint_ball(canvas: Canvas, x: float, y: float, radius: float, colour: str, turn: float) -> None:
    """A ball with two bright seams, turned by `turn` radians."""
    canvas.ellipse(x, y, radius, fill=COLOURS[colour], outline="#ffffff" if colour == "black" else "#1c1c22", width=1.5)
    for side in (0.0, math.pi):
        at = turn + side
        place = (x + radius * 0.55 * math.cos(at), y + radius * 0.55 * math.sin(at))
        canvas.ellipse(*place, radius * 0.2, fill=mix(COLOURS[colour], "#ffffff", 0.6))


def _sky(canvas: Canvas, rng: np.random.Generator, floor: float, ground: tuple[str, str]) -> None:
    """A day's sky with a sun and a cloud, over ground from `floor` down."""
    canvas.gradient((0, 0, CLIP_SIDE, floor), [(0, "#6bb3ee"), (1, "#dff1fd")])
    canvas.ellipse(float(rng.uniform(20, 90)), 26, 13, fill="#fff0a0")
    cloud(canvas, float(rng.uniform(130, 190)), float(rng.uniform(24, 44)), 15)
    canvas.gradient((0, floor, CLIP_SIDE, CLIP_SIDE), [(0, ground[0]), (1, ground[1])])


def _park(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 140, ("#7cc35f", "#5aa548"))
    for x in rng.uniform(0, CLIP_SIDE, 7).tolist():
        canvas.ellipse(x, 140, 24, 14, "#5f9f52")
    canvas.rect((0, 141, CLIP_SIDE, 158), "#74bb58")
    canvas.polygon([(0, 188), (CLIP_SIDE, 182), (CLIP_SIDE, 206), (0, 212)], "#dcc79a")


def _beach(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 150, ("#f1dda6", "#e2c583"))
    canvas.rect((0, 104, CLIP_SIDE, 150), "#2f8fc0")
    for y in (112, 124, 138):
        x = float(rng.uniform(0, 150))
        canvas.line([(x, y), (x + 50, y)], "#a9dcf0", 2)
    canvas.rect((0, 147, CLIP_SIDE, 152), "#ffffff")


def _street(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 158, ("#b9bcc2", "#b9bcc2"))
    for number, x in enumerate(range(0, CLIP_SIDE, 56)):
        top, colour = float(rng.uniform(40, 78)), ("#b98f78", "#9aa3ae", "#c7b08a", "#a88a8a")[number]
        canvas.rect((x, top, x + 56, 158), colour)
        for column in (10, 33):
            for y in np.arange(top + 9, 140, 25).tolist():
                canvas.rect((x + column, y, x + column + 13, y + 14), "#4f5f74")
    canvas.rect((0, 176, CLIP_SIDE, CLIP_SIDE), "#62656b")
    for x in range(8, CLIP_SIDE, 56):
        canvas.rect((x, 212, x + 32, 217), "#f0f0f0")


def _snow(canvas: Canvas, rng: np.random.Generator) -> None:
    _sky(canvas, rng, 148, ("#ffffff", "#dbe6f0"))
    for x in (30.0, 108.0, 190.0):
        peak = float(rng.uniform(58, 90))
        canvas.polygon([(x - 76, 148), (x, peak), (x + 76, 148)], "#8ea4bd")
        canvas.polygon(
            [(x - 25, peak + 29), (x, peak), (x + 25, peak + 29), (x + 8, peak + 22), (x - 8, peak + 30)], "#ffffff"
        )
    for x, y in rng.uniform(4, CLIP_SIDE, (26, 2)).tolist():
        canvas.ellipse(x, y, 1.8, fill="#ffffff")


def _stage(canvas: Canvas, rng: np.random.Generator) -> None:
    canvas.rect((0, 0, CLIP_SIDE, 160), "#3c2a4d")
    canvas.glow(112, 100, 100, "#f3e3c0", 0.5)
    canvas.gradient((0, 158, CLIP_SIDE, CLIP_SIDE), [(0, "#b98a58"), (1, "#8c6136")])
    for y in (172, 188, 206):
        canvas.line([(0, y), (CLIP_SIDE, y)], "#7d552e", 1)
    for x in (0, 14, 196, 210):
        canvas.gradient((x, 0, x + 14, 160), [(0, "#5d0f18"), (0.5, "#b3232f"), (1, "#5d0f18")], horizontal=True)
    canvas.rect((0, 0, CLIP_SIDE, float(rng.uniform(18, 26))), "#8f1a25")


BACKDROPS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "in a park": _park,
    "on a beach": _beach,
    "on a street": _street,
    "in the snow": _snow,
    "on a stage": _stage,
}
"""What paints the places where a person may be."""


def paint_thing(canvas: Canvas, name: str, x: float, foot: float) -> None:
    """A tree, bench, lamp or tent at the side, 40 to 54 pixels wide."""
    if name == "tree":
        canvas.rect((x - 5, foot - 40, x + 5, foot), "#6a4528")
        for dx, dy in ((-11, -54), (11, -54), (0, -72)):
            canvas.ellipse(x + dx, foot + dy, 18, fill="#226b31", outline="#1a5426")
    elif name == "bench":
        for dy in (-44, -34, -22):
            canvas.rect((x - 27, foot + dy, x + 27, foot + dy + 8), "#8a4a1c", "#4e2a10")
        for dx in (-22, 15):
            canvas.rect((x + dx, foot - 16, x + dx + 7, foot), "#33241a")
    elif name == "lamp":
        canvas.rect((x - 4, foot - 106, x + 4, foot), "#23272e")
        canvas.rect((x - 10, foot - 7, x + 10, foot), "#23272e")
        canvas.ellipse(x, foot - 112, 20, fill="#fff08a", outline="#23272e", width=3)
    else:
        canvas.polygon([(x - 31, foot), (x, foot - 62), (x + 31, foot)], "#f08a24", "#9c4f0b", 2)
        canvas.polygon([(x - 10, foot), (x, foot - 36), (x + 10, foot)], "#57300c")


def _city(canvas: Canvas, rng: np.random.Generator, shade: Callable[[str], str], night: bool) -> None:
    for x in range(0, CLIP_SIDE, 28):
        top = float(rng.uniform(28, 74))
        canvas.rect((x, top, x + 27, 110), shade(mix("#8d97a8", "#6b7484", float(rng.uniform(0, 1)))))
        for y in np.arange(top + 6, 100, 13).tolist():
            for dx in (5, 16):
                canvas.rect((x + dx, y, x + dx + 6, y + 7), "#ffd76a" if night else shade("#dce6ee"))


def _land(canvas: Canvas, rng: np.random.Generator, road: str, shade: Callable[[str], str], night: bool) -> None:
    """What lies behind the road, from y 20 to y 110."""
    if road == "in a city":
        _city(canvas, rng, shade, night)
    elif road == "in a desert":
        canvas.rect((0, 84, CLIP_SIDE, 110), shade("#e3b765"))
        canvas.ellipse(float(rng.uniform(20, 200)), 92, 90, 22, shade("#efc878"))
        for x in (float(rng.uniform(20, 90)), float(rng.uniform(130, 200))):
            for bar in ((x - 5, 50, x + 5, 104), (x - 17, 62, x - 10, 82), (x + 10, 58, x + 17, 78)):
                canvas.rect(bar, shade("#2f8040"), radius=3)
            canvas.rect((x - 17, 78, x + 17, 84), shade("#2f8040"), radius=3)
    elif road == "by the sea":
        canvas.rect((0, 62, CLIP_SIDE, 110), shade("#2186c4"))
        for y in (70, 82, 94):
            x = float(rng.uniform(0, 150))
            canvas.line([(x, y), (x + 60, y)], shade("#b7e2f5"), 2)
        x = float(rng.uniform(40, 180))
        canvas.polygon([(x - 18, 80), (x + 18, 80), (x + 12, 90), (x - 12, 90)], shade("#8b4a2b"))
        canvas.polygon([(x, 46), (x, 78), (x + 18, 78)], shade("#ffffff"))
    elif road == "in the mountains":
        for x in (10.0, 84.0, 150.0, 214.0):
            peak = float(rng.uniform(30, 58))
            canvas.polygon([(x - 62, 110), (x, peak), (x + 62, 110)], shade("#7b8799"), shade("#5f6a7b"))
            canvas.polygon([(x - 18, peak + 23), (x, peak), (x + 18, peak + 23), (x, peak + 17)], shade("#ffffff"))
    else:
        for x in np.arange(6, CLIP_SIDE, 24).tolist():
            conifer(canvas, x + float(rng.uniform(-4, 4)), 112, float(rng.uniform(64, 86)), shade("#2f7a45"))


def paint_road(seed: int, scale: int, road: str, light: str) -> Canvas:
    """The scene without its cars in one light; the same `seed` gives the same land."""
    rng, canvas, (high, low, tint, amount) = np.random.default_rng(seed), surface(scale), SKIES[light]

    def shade(colour: str) -> str:
        return mix(colour, tint, amount)

    canvas.gradient((0, 0, CLIP_SIDE, 110), [(0, high), (1, low)])
    x, y = float(rng.uniform(30, 194)), 19 + 16 * (light == "sunset")
    canvas.ellipse(x, y, 14, fill={"day": "#fff4a8", "sunset": "#ffdf70", "night": "#f4f1dc"}[light])
    if light == "night":
        canvas.ellipse(x + 6, y - 3, 12, fill=high)
    _land(canvas, rng, road, shade, light == "night")
    canvas.rect((0, 108, CLIP_SIDE, CLIP_SIDE), shade("#9aa56f" if road != "in a desert" else "#dcb166"))
    canvas.rect((0, 118, CLIP_SIDE, 218), shade("#777b82"))
    for y in (121, 213):
        canvas.rect((0, y, CLIP_SIDE, y + 2), shade("#ffffff"))
    for dash in range(4, CLIP_SIDE, 44):
        canvas.rect((dash, 163, dash + 26, 167), shade("#ffffff"))
    return canvas


def paint_classroom(rng: np.random.Generator, scale: int, board: str, topic: str) -> Canvas:
    """A wall with a framed board that bears the topic, and a desk in front of it."""
    canvas = surface(scale)
    wall = pick(rng, ("#efe3cc", "#d9e5e8", "#e9dfe8", "#e2e8d6"))
    canvas.gradient((0, 0, CLIP_SIDE, CLIP_SIDE), [(0, wall), (1, mix(wall, "#8a7f70", 0.3))])
    canvas.rect((6, 6, 218, 164), "#9b6a3a", "#6e4722", 1, radius=4)
    canvas.rect((14, 14, 210, 156), BOARDS[board])
    canvas.rect((40, 156, 184, 161), "#7b5129")
    ink = "#17171c" if board == "white" else "#fbfbfb"
    x = float(rng.uniform(92, 132))
    canvas.text(x, 20, topic, 33, ink, anchor="ma", bold=True)
    canvas.line([(26, 62), (198, 62)], mix(ink, BOARDS[board], 0.35), 2)
    canvas.gradient((0, 200, CLIP_SIDE, CLIP_SIDE), [(0, "#c9935a"), (1, "#9d6a38")])
    canvas.rect((0, 198, CLIP_SIDE, 203), "#dcaa72")
    return canvas


def paint_on_desk(canvas: Canvas, thing: str, colour: str, x: float, foot: float) -> None:
    """A ball, book, cup or cone in front of the board, 36 to 56 pixels wide."""
    paint, edge = COLOURS[colour], mix(COLOURS[colour], "#000000", 0.4)
    canvas.ellipse(x, foot, 26, 4, faded("#000000", 0.3))
    if thing == "ball":
        canvas.ellipse(x, foot - 20, 20, fill=paint, outline=edge, width=1.5)
        canvas.ellipse(x - 7, foot - 27, 5, fill=mix(paint, "#ffffff", 0.5))
    elif thing == "book":
        canvas.rect((x - 30, foot - 17, x + 30, foot), paint, edge, 1.5, radius=2)
        canvas.rect((x - 24, foot - 12, x + 30, foot - 4), "#fbf6e6")
    elif thing == "cup":
        canvas.ellipse(x + 16, foot - 20, 11, fill=None, outline=paint, width=6)
        canvas.rect((x - 19, foot - 40, x + 15, foot), paint, edge, 1.5, radius=5)
        canvas.rect((x - 15, foot - 38, x + 11, foot - 34), mix(paint, "#000000", 0.5), radius=2)
    else:
        canvas.polygon([(x - 24, foot), (x, foot - 46), (x + 24, foot)], paint, edge, 1.5)
