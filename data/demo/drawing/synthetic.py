"""Synthetic & Aesthetic: an abstract composition, floating islands, a neon sunset, a low-poly balloon."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from .canvas import Canvas, Point, ellipse_points, faded, mix, pts, smooth
from .registry import Picture, picture
from .shapes import broadleaf, cloud, conifer

DISCS = (
    (404, 330, 26, "#161616"),
    (392, 318, 9, "#f1e4cd"),
    (560, 260, 20, "#edae49"),
    (300, 560, 34, "#2b7a78"),
    (440, 580, 15, "#1f3a5f"),
    (60, 360, 18, "#c8553d"),
)


@picture("synthetic_art", "abstract.jpg")
def abstract(rng: np.random.Generator) -> Picture:
    """An abstract composition: rings, translucent triangles, bars, arcs, a chequered patch and a wavy line."""
    canvas = Canvas(640, 640, "#f1e4cd")
    canvas.polygon([(0, 430), (640, 300), (640, 640), (0, 640)], "#e9d2a8")
    for radius, colour in (
        (150, "#1f3a5f"),
        (122, "#e9b44c"),
        (92, "#c8553d"),
        (60, "#2b7a78"),
        (28, "#f1e4cd"),
        (12, "#161616"),
    ):
        canvas.ellipse(218, 226, radius, fill=colour)
    canvas.polygon([(330, 70), (600, 330), (300, 420)], faded("#2b6cb0", 0.72))
    canvas.polygon([(420, 190), (610, 540), (260, 500)], faded("#d1495b", 0.72))
    canvas.polygon([(90, 400), (330, 360), (200, 600)], faded("#edae49", 0.8))
    for number in range(6):
        canvas.rect(
            (468 + number * 22, 56 + number * 7, 479 + number * 22, 196 - number * 9),
            "#161616" if number % 2 else "#c8553d",
        )
    for row in range(5):
        for column in range(5):
            if (row + column) % 2 == 0:
                canvas.rect((66 + column * 20, 500 + row * 20, 86 + column * 20, 520 + row * 20), "#161616")
    for radius in (70, 88, 106):
        canvas.line(ellipse_points((520, 470), (radius, radius), arc=(-100, 80)), "#161616", 5)
    canvas.line(smooth(pts("40,60 120,30 180,80 260,36 340,76 430,30")), "#2b7a78", 8, caps=True)
    canvas.line([(28, 610), (600, 92)], "#161616", 4)
    canvas.line([(360, 24), (410, 616)], "#161616", 2.5)
    for x, y, radius, colour in DISCS:
        canvas.ellipse(x, y, radius, fill=colour)
    canvas.grain(rng, 3)
    return canvas.finish(), (
        "An abstract geometric composition on a cream ground: concentric circles in blue, yellow, red and green, "
        "large translucent blue, red and yellow triangles, black arcs and lines, a chequered square and small "
        "discs."
    )


def _island(canvas: Canvas, rng: np.random.Generator, x: float, y: float, width: float) -> None:
    """A floating island: a disc of grass over a cone of rock in facets."""
    depths = [0.05 + 0.6 * math.sin(math.pi * n / 8) ** 1.3 * rng.uniform(0.72, 1.1) for n in range(9)]
    tips = [(x - width / 2 + width * n / 8, y + width * depth) for n, depth in enumerate(depths)]
    for number, (first, second) in enumerate(pairwise(tips)):
        colour = mix("#a5785f", "#4b3350", number / 7)
        canvas.polygon([(first[0], y), (second[0], y), second, first], colour)
        canvas.polygon([(first[0], y), (second[0], y), first], faded("#ffffff", 0.1))
    canvas.ellipse(x, y, width / 2, width * 0.085, "#3f9a62")
    canvas.ellipse(x, y - width * 0.012, width / 2, width * 0.075, "#6cc97a")


def _fall(canvas: Canvas, x: float, top: float, bottom: float, width: float) -> None:
    """A waterfall that fades out downwards."""
    steps = 40
    for number in range(steps):
        y0, y1 = (top + (bottom - top) * (number + i) / steps for i in (0, 1))
        spread = width * (1 + 0.5 * number / steps) / 2
        canvas.rect((x - spread, y0, x + spread, y1), faded("#dff5ff", 0.95 * (1 - number / steps)))


def _whale(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A whale that swims through the air to the left."""
    unit = size / 100

    def at(px: float, py: float) -> Point:
        return (x + px * unit, y + py * unit)

    canvas.blob([at(*p) for p in pts("84,-2 104,-30 118,-28 110,-8 120,12 104,12")], "#33588c")
    canvas.blob(
        [at(*p) for p in pts("-90,-4 -78,-30 -40,-42 10,-34 60,-12 96,-8 92,2 56,14 0,26 -60,24 -86,12")], "#4a78b5"
    )
    canvas.blob([at(*p) for p in pts("-88,6 -50,10 0,10 46,10 0,26 -60,24 -84,14")], "#dbe8f5")
    for number in range(5):
        canvas.curve(
            [
                at(-80 + number * 6, 12 + number * 2),
                at(-40 + number * 8, 14 + number * 2),
                at(6 - number * 4, 14 + number * 2),
            ],
            "#a9bfd8",
            0.9,
        )
    canvas.blob([at(*p) for p in pts("-34,12 -14,16 8,46 -6,48 -28,30")], "#33588c")
    canvas.ellipse(*at(-66, -4), 3 * unit, fill="#13233d")
    canvas.ellipse(*at(-67, -5), 1 * unit, fill="#ffffff")


def _cottage(canvas: Canvas, x: float, foot: float, size: float) -> None:
    """A small cottage with a red roof and lit windows."""
    canvas.rect((x - size * 0.4, foot - size * 0.5, x + size * 0.4, foot), "#fbe9d0")
    canvas.polygon(
        [(x - size * 0.52, foot - size * 0.48), (x, foot - size), (x + size * 0.52, foot - size * 0.48)], "#d2504a"
    )
    canvas.rect((x - size * 0.1, foot - size * 0.3, x + size * 0.1, foot), "#7a4a2c")
    for dx in (-0.26, 0.26):
        canvas.rect((x + (dx - 0.08) * size, foot - size * 0.38, x + (dx + 0.08) * size, foot - size * 0.2), "#ffd36b")


@picture("synthetic_art", "floating_islands.jpg")
def floating_islands(rng: np.random.Generator) -> Picture:
    """Islands that float in a pastel sky with a huge ringed planet, waterfalls and a flying whale."""
    canvas = Canvas(640, 736)
    canvas.gradient((0, 0, 640, 736), [(0, "#3b3a8c"), (0.35, "#a06cc4"), (0.65, "#f5a6b8"), (1, "#ffe3c4")])
    for _ in range(110):
        canvas.ellipse(
            rng.uniform(0, 640), rng.uniform(0, 260), rng.uniform(0.5, 1.5), fill=faded("#ffffff", rng.uniform(0.3, 1))
        )
    canvas.glow(450, 160, 210, "#ffe7d6", 0.5)
    ring = ((450, 160), (176, 40))
    canvas.line(ellipse_points(*ring, turn=-18, arc=(180, 360)), "#e7c7e6", 7)
    canvas.ellipse(450, 160, 100, fill="#f3c9a5")
    for dy, colour in ((-50, "#eab48f"), (-14, "#f8dcc0"), (24, "#e3a284"), (58, "#f0bd98")):
        half = math.sqrt(98**2 - dy**2)
        canvas.rect((450 - half, 160 + dy - 7, 450 + half, 160 + dy + 7), faded(colour, 0.75), radius=7)
    canvas.line(ellipse_points(*ring, turn=-18, arc=(0, 180)), "#f6e2f3", 7)
    for x, y, size in ((90, 640, 70), (520, 690, 90), (300, 716, 80), (610, 560, 40), (30, 420, 36)):
        cloud(canvas, x, y, size, "#fff1ee")
    _whale(canvas, 136, 190, 104)
    for x, y, width in ((560, 352, 120), (96, 372, 130)):
        _island(canvas, rng, x, y, width)
        _fall(canvas, x + width * 0.2, y + 2, y + width * 0.9, 9)
    for x, foot, height in ((540, 350, 56), (580, 350, 44)):
        conifer(canvas, x, foot, height, "#3c8a72")
    broadleaf(canvas, rng, 84, 371, 70, "#e77fa0")
    _island(canvas, rng, 330, 500, 330)
    _fall(canvas, 420, 506, 716, 24)
    canvas.polygon([(408, 508), (432, 508), (400, 496), (372, 490), (360, 494)], "#bfeaff")
    broadleaf(canvas, rng, 232, 500, 130, "#e77fa0")
    for x, foot, height in ((450, 494, 90), (476, 500, 66), (296, 488, 60)):
        conifer(canvas, x, foot, height, "#3c8a72")
    _cottage(canvas, 346, 492, 64)
    cloud(canvas, 210, 606, 44, "#fff7f2")
    return canvas.finish(), (
        "A surreal digital scene: three grassy islands float in a purple and pink sky, the largest with a "
        "red-roofed cottage, a pink tree, firs and a waterfall that falls into the clouds. A blue whale flies past "
        "and a huge ringed planet hangs behind."
    )


def _palm(canvas: Canvas, x: float, foot: float, height: float, lean: float) -> None:
    """The black silhouette of a palm."""
    top = (x + lean, foot - height)
    canvas.curve([(x, foot), (x + lean * 0.25, foot - height * 0.5), top], "#120522", height * 0.045)
    for angle in (-202, -174, -150, -124, -56, -30, -6, 22):
        reach = height * 0.36
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        middle = (top[0] + reach * 0.55 * cos, top[1] + reach * 0.55 * sin - reach * 0.12)
        end = (top[0] + reach * cos, top[1] + reach * sin + reach * 0.3)
        rib = smooth([top, middle, end])
        canvas.line(rib, "#120522", 2.4)
        for number, (px, py) in enumerate(rib[2:], 2):
            drop = reach * 0.24 * math.sin(math.pi * min(number / len(rib) + 0.1, 1))
            canvas.line([(px, py), (px + 0.35 * drop * cos, py + drop)], "#120522", 1.8)


@picture("synthetic_art", "neon_sunset.jpg")
def neon_sunset(rng: np.random.Generator) -> Picture:
    """A vaporwave sunset: a striped sun behind a neon city, palms and a glowing grid."""
    canvas, horizon = Canvas(768, 512, scale=2), 318
    canvas.gradient((0, 0, 768, horizon), [(0, "#12063b"), (0.55, "#6a1b8a"), (1, "#ff5fa2")])
    for _ in range(120):
        canvas.ellipse(
            rng.uniform(0, 768), rng.uniform(0, 170), rng.uniform(0.5, 1.3), fill=faded("#ffffff", rng.uniform(0.4, 1))
        )
    canvas.glow(384, 210, 220, "#ff8ac4", 0.5)
    for y in np.arange(70, horizon, 0.5).tolist():
        half = math.sqrt(max(140**2 - (y - 210) ** 2, 0))
        gap = (y - 200) / 130
        if half > 1 and (y < 200 or (y - 200) % 18 > 4 + 7 * gap):
            canvas.rect((384 - half, y, 384 + half, y + 0.5), mix("#ffe45e", "#ff3d8b", (y - 70) / 250))
    x = -8.0
    while x < 768:
        width, tall = rng.uniform(24, 46), rng.uniform(24, 104) * (0.55 + 0.9 * abs(x - 384) / 384)
        canvas.rect((x, horizon - tall, x + width, horizon), "#1c0b3f", "#ff4fd8", 1)
        for wy in range(round(horizon - tall + 7), horizon - 6, 9):
            for wx in range(round(x + 5), round(x + width - 5), 8):
                if rng.uniform() < 0.4:
                    canvas.rect((wx, wy, wx + 3.5, wy + 4), "#37f5ff" if rng.uniform() < 0.6 else "#ffe45e")
        x += width + 2
    canvas.gradient((0, horizon, 768, 512), [(0, "#3a0d5c"), (1, "#0b0224")])
    for number in range(-26, 27):
        canvas.line([(384 + number * 20, horizon), (384 + number * 108, 512)], "#ff3fd0", 1.4)
    for number in range(13):
        y = horizon + 194 * (number / 12) ** 2.1
        canvas.line([(0, y), (768, y)], "#37e8ff", 1 + number * 0.12)
    canvas.line([(0, horizon), (768, horizon)], "#ffffff", 2.4)
    for px, foot, height, lean in ((96, 522, 330, 34), (30, 522, 230, -12), (690, 522, 350, -36), (752, 522, 240, 8)):
        _palm(canvas, px, foot, height, lean)
    return canvas.finish(), (
        "A vaporwave sunset: a large striped sun in yellow and pink sets behind a dark city with neon windows, in "
        "front of it a glowing pink and cyan grid runs to the horizon, and black palms frame the scene on both "
        "sides under a purple starry sky."
    )


def _balloon_scene() -> Canvas:
    """The scene under the low-poly mosaic: a balloon over mountains at sunset."""
    scene = Canvas(576, 640, scale=1)
    scene.gradient((0, 0, 576, 640), [(0, "#274b8f"), (0.4, "#e58a7b"), (0.66, "#ffd08a"), (1, "#ffe8c0")])
    scene.ellipse(454, 392, 44, fill="#fff6d8")
    scene.polygon(pts("-10,460 110,350 200,440 310,370 420,450 590,380 590,650 -10,650"), "#a0668f")
    scene.polygon(pts("-10,540 120,450 250,540 380,470 590,560 590,650 -10,650"), "#6b4a86")
    scene.polygon(pts("-10,600 180,560 400,610 590,570 590,650 -10,650"), "#3a3266")
    return scene


@picture("synthetic_art", "low_poly_balloon.jpg")
def low_poly_balloon(rng: np.random.Generator) -> Picture:
    """A low-poly render: a striped hot-air balloon of facets over mountains at sunset."""
    scene, cell = np.asarray(_balloon_scene().image, dtype=float), 40
    canvas = Canvas(576, 640)
    columns, rows = 576 // cell + 4, 640 // cell + 3
    grid = np.stack(np.meshgrid(np.arange(columns) * cell - cell, np.arange(rows) * cell - cell), axis=-1).astype(float)
    grid += rng.uniform(-0.36, 0.36, grid.shape) * cell
    for row in range(rows - 1):
        for column in range(columns - 1):
            a, b, c, d = grid[row, column], grid[row, column + 1], grid[row + 1, column], grid[row + 1, column + 1]
            for triangle in ((a, b, d), (a, d, c)):
                middle = np.clip(np.mean(triangle, axis=0), 0, (575, 639)).astype(int)
                shade = np.clip(scene[middle[1], middle[0]] * rng.uniform(0.92, 1.08), 0, 255).astype(int)
                canvas.polygon(
                    [(float(p[0]), float(p[1])) for p in triangle], "#" + "".join(f"{value:02x}" for value in shade)
                )
    _facet_balloon(canvas, 252, 214, 132)
    return canvas.finish(), (
        "A low-poly rendering made of flat triangles: a hot-air balloon with red, orange and cream stripes and a "
        "brown basket floats before an orange and blue sunset sky over purple mountains."
    )


def _facet_balloon(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A hot-air balloon of flat facets, lit from the right, with its basket."""
    levels = pts("-1.0,0.02 -0.86,0.5 -0.52,0.86 -0.08,1.0 0.36,0.9 0.76,0.62 1.14,0.26 1.26,0.18")
    colours, gores = ("#d8433b", "#f28c38", "#fbe7c0"), 9
    edges = [-math.cos(math.pi * n / gores) for n in range(gores + 1)]
    for number in range(gores):
        light = 0.34 * (1 - (number + 1) / gores)
        for (y0, half0), (y1, half1) in pairwise(levels):
            a, b = ((x + radius * half0 * edges[number + i], y + radius * y0) for i in (0, 1))
            c, d = ((x + radius * half1 * edges[number + i], y + radius * y1) for i in (0, 1))
            colour = mix(colours[number % 3], "#30104a", light)
            canvas.polygon([a, b, d], colour)
            canvas.polygon([a, d, c], mix(colour, "#30104a", 0.12))
    foot = y + radius * 1.26
    for dx in (-0.17, 0.17):
        canvas.line([(x + dx * radius, foot), (x + dx * radius * 0.8, foot + radius * 0.34)], "#4a2c1a", 2)
    top = foot + radius * 0.34
    canvas.polygon(
        [
            (x - 0.19 * radius, top),
            (x + 0.02 * radius, top),
            (x, top + 0.28 * radius),
            (x - 0.15 * radius, top + 0.28 * radius),
        ],
        "#6d4426",
    )
    canvas.polygon(
        [
            (x + 0.02 * radius, top),
            (x + 0.19 * radius, top),
            (x + 0.15 * radius, top + 0.28 * radius),
            (x, top + 0.28 * radius),
        ],
        "#9a6638",
    )
