"""Natural: a park, a street at dusk, birds on a mountain lake, a farm from the air."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .canvas import Canvas, Point, ellipse_points, faded, mix, noise, pts, smooth
from .registry import Picture, picture
from .shapes import below, bird, broadleaf, car, cloud, conifer, grass, ridge


def _child(canvas: Canvas, x: float, foot: float, size: float) -> None:
    """A child with a yellow T-shirt and blue shorts who reaches out to the right."""
    unit = size / 100
    skin, shirt, shorts = "#e8b48e", "#f4c531", "#2e5fa8"

    def at(px: float, py: float) -> Point:
        return (x + px * unit, foot - py * unit)

    canvas.ellipse(x + 6 * unit, foot, 26 * unit, 4 * unit, faded("#10300f", 0.4))
    for knee, toe in (((-9, 20), (-13, 2)), ((9, 20), (13, 2))):
        canvas.line([at(knee[0] * 0.6, 36), at(*knee), at(*toe)], skin, 7 * unit, caps=True)
        canvas.ellipse(*at(toe[0] + 4, 2), 7.5 * unit, 3.6 * unit, fill="#c23b2e")
    canvas.polygon([at(*p) for p in pts("-12,44 12,44 15,25 3,25 0,32 -3,25 -15,25")], shorts)
    canvas.blob([at(*p) for p in pts("-12,70 0,73 12,70 14,42 0,40 -14,42")], shirt)
    canvas.line([at(-10, 67), at(-20, 57), at(-25, 47)], shirt, 7 * unit)
    canvas.line([at(-18, 57), at(-25, 47)], skin, 6 * unit, caps=True)
    canvas.line([at(10, 67), at(22, 64), at(33, 72)], skin, 6 * unit, caps=True)
    canvas.line([at(9, 67), at(18, 65)], shirt, 8 * unit, caps=True)
    canvas.rect((*at(-3.5, 78), *at(3.5, 68)), mix(skin, "#8a4b25", 0.25))
    canvas.ellipse(*at(0, 86), 12.5 * unit, 13.5 * unit, fill=skin)
    hair = [at(*p) for p in pts("-13,86 -12,98 0,103 12,98 13,91 5,95 -5,94 -9,86")]
    canvas.blob(hair, "#5b3418")
    for px in (1, 8):
        canvas.ellipse(*at(px, 87), 1.5 * unit, 1.9 * unit, fill="#2a1a12")
    canvas.curve([at(0, 80.5), at(4, 78.5), at(8, 80.5)], "#a3433a", 1.4 * unit)


def _dog(canvas: Canvas, x: float, foot: float, size: float, coat: str = "#a8672f") -> None:
    """A brown dog that stands sideways and looks to the left, its tail up."""
    unit, dark = size / 100, mix(coat, "#2a1204", 0.35)

    def at(px: float, py: float) -> Point:
        return (x + px * unit, foot - py * unit)

    canvas.ellipse(x, foot, 58 * unit, 6 * unit, faded("#10300f", 0.4))
    for px in (-24, 33):
        canvas.line([at(px, 32), at(px - 2, 3)], dark, 9 * unit, caps=True)
    canvas.curve([at(42, 46), at(55, 56), at(60, 74), at(54, 82)], coat, 7 * unit)
    body = [at(*p) for p in pts("-44,58 -20,60 15,56 42,56 50,40 40,27 10,30 -22,26 -40,36")]
    canvas.blob(body, coat)
    for px in (-34, 42):
        canvas.line([at(px, 34), at(px - 1, 16), at(px - 2, 3)], coat, 10 * unit, caps=True)
        canvas.ellipse(*at(px - 5, 3), 8 * unit, 4 * unit, fill=mix(coat, "#ffffff", 0.75))
    canvas.blob([at(*p) for p in pts("-48,54 -44,72 -30,72 -20,56 -30,42")], coat)
    canvas.line([at(-45, 57), at(-30, 52)], "#c62828", 5 * unit, caps=True)
    canvas.blob([at(*p) for p in pts("-58,88 -44,90 -34,80 -36,66 -50,62 -60,70")], coat)
    canvas.blob([at(*p) for p in pts("-56,78 -72,75 -78,68 -70,62 -54,63")], mix(coat, "#ffffff", 0.35))
    canvas.ellipse(*at(-77, 72), 4.5 * unit, 3.6 * unit, fill="#1d1410")
    canvas.curve([at(-73, 64), at(-66, 65), at(-60, 67)], "#4a2912", 1.6 * unit)
    canvas.blob([at(*p) for p in pts("-42,90 -34,86 -29,68 -34,60 -41,70")], dark)
    canvas.ellipse(*at(-55, 80), 3 * unit, 3.2 * unit, fill="#1d1410")
    canvas.ellipse(*at(-56, 81), 1 * unit, fill="#ffffff")


def _bench(canvas: Canvas, x: float, foot: float, size: float) -> None:
    """A wooden park bench seen from the front."""
    for px in (-0.42, 0.42):
        canvas.rect((x + (px - 0.03) * size, foot - 0.5 * size, x + (px + 0.03) * size, foot), "#33363b")
    for py in (0.5, 0.4, 0.24):
        canvas.rect((x - size / 2, foot - py * size, x + size / 2, foot - (py - 0.07) * size), "#9a6a3c", radius=1)


@picture("natural_scenes", "park.jpg")
def park(rng: np.random.Generator) -> Picture:
    """A sunny park: trees, a path, a bench, a child, a dog and a red ball."""
    canvas = Canvas(720, 540)
    canvas.gradient((0, 0, 720, 260), [(0, "#4e9fe0"), (1, "#cfe8f7")])
    canvas.glow(620, 60, 130, "#fff6cf")
    canvas.ellipse(620, 60, 26, fill="#fffbe6")
    cloud(canvas, 150, 80, 52)
    cloud(canvas, 420, 60, 38)
    canvas.polygon(below(ridge(rng, 720, 236, 60, 260), 300), "#8fb6a0")
    canvas.polygon(below(ridge(rng, 720, 248, 30, 90), 300), "#5f9463")
    canvas.gradient((0, 244, 720, 540), [(0, "#8cc25a"), (1, "#3f8a34")])
    grass(canvas, rng, 256, 900, ("#4f9a3c", "#79b851", "#3b7f30"))
    path = smooth([(330, 246), (372, 280), (330, 330), (400, 400), (330, 545)])
    back = smooth([(520, 545), (530, 420), (400, 335), (400, 284), (338, 246)])
    canvas.polygon([*path, *back], "#d8c096")
    for x, foot, height in ((60, 300, 120), (240, 288, 90), (520, 286, 92), (690, 300, 130)):
        broadleaf(canvas, rng, x, foot, height, "#4b8f47")
    _bench(canvas, 462, 322, 60)
    broadleaf(canvas, rng, 110, 400, 250, "#3f8a3a")
    broadleaf(canvas, rng, 632, 410, 230, "#5a9a35")
    _child(canvas, 258, 478, 150)
    _dog(canvas, 508, 486, 118)
    canvas.ellipse(376, 496, 27, 5, faded("#10300f", 0.4))
    canvas.ellipse(372, 474, 23, fill="#b3141b")
    canvas.ellipse(369, 471, 19.5, fill="#dd2a2f")
    canvas.ellipse(363, 464, 6, 4.5, fill=faded("#ffffff", 0.65), turn=-35)
    return canvas.finish(), (
        "A sunny park: a child in a yellow T-shirt and blue shorts stands opposite a brown dog with a red collar, "
        "and a red ball lies between them. Trees, a wooden bench and a sandy path lie behind them under a blue sky."
    )


def _house(canvas: Canvas, box: tuple[float, float, float, float], wall: str, roof: str, lit: list[bool]) -> None:
    """A terraced house of two floors with a pitched roof; `lit` tells which of its windows are lit."""
    x0, y0, x1, y1 = box
    canvas.polygon([(x0 - 6, y0), ((x0 + x1) / 2, y0 - (x1 - x0) * 0.42), (x1 + 6, y0)], roof)
    canvas.rect((x1 - 34, y0 - 58, x1 - 18, y0 - 12), mix(wall, "#000000", 0.3))
    canvas.polygon(
        [((x0 + x1) / 2, y0 - (x1 - x0) * 0.42), (x1 + 6, y0), ((x0 + x1) / 2 + 12, y0)], mix(roof, "#000000", 0.15)
    )
    canvas.rect(box, wall)
    third = (x1 - x0) / 3
    places = [(x0 + third * (i + 0.5), y0 + (y1 - y0) * 0.1) for i in range(3)]
    places += [(x0 + third * (i + 0.5), y0 + (y1 - y0) * 0.56) for i in (0, 2)]
    for (x, y), on in zip(places, lit, strict=True):
        tall = (y1 - y0) * 0.27
        if on:
            canvas.glow(x, y + tall / 2, 34, "#ffcf70", 0.45)
        canvas.rect((x - 12, y, x + 12, y + tall), "#ffd87c" if on else "#39405c", "#e9dfd4", 2)
        canvas.line([(x, y), (x, y + tall)], "#e9dfd4", 1.4)
        canvas.line([(x - 12, y + tall / 2), (x + 12, y + tall / 2)], "#e9dfd4", 1.4)
    middle = (x0 + x1) / 2
    canvas.rect((middle - 12, y1 - (y1 - y0) * 0.42, middle + 12, y1), "#5a2f22", "#e9dfd4", 2)
    canvas.ellipse(middle + 7, y1 - (y1 - y0) * 0.2, 1.8, fill="#e8c35a")


def _street_lamp(canvas: Canvas, x: float, foot: float) -> None:
    """A lit street lamp."""
    canvas.rect((x - 2.5, foot - 170, x + 2.5, foot), "#22242c")
    canvas.rect((x - 5, foot - 14, x + 5, foot), "#22242c")
    canvas.polygon([(x - 9, foot - 172), (x + 9, foot - 172), (x + 12, foot - 196), (x - 12, foot - 196)], "#fff2c0")
    canvas.polygon([(x - 15, foot - 196), (x + 15, foot - 196), (x, foot - 210)], "#22242c")
    canvas.glow(x, foot - 184, 80, "#ffdf90", 0.6)


@picture("natural_scenes", "street_dusk.jpg")
def street_dusk(rng: np.random.Generator) -> Picture:
    """A street at dusk: a row of houses with lit windows, two lamps, a red and a blue car."""
    canvas = Canvas(768, 512)
    canvas.gradient((0, 0, 768, 370), [(0, "#27305f"), (0.45, "#8a5f8f"), (0.75, "#f08d62"), (1, "#ffd08a")])
    for _ in range(26):
        canvas.ellipse(rng.uniform(0, 768), rng.uniform(0, 110), rng.uniform(0.5, 1.2), fill="#ffffffc0")
    crescent = ellipse_points((690, 62), (20, 20), turn=30, arc=(-90, 90))
    canvas.polygon([*crescent, *reversed(ellipse_points((690, 62), (8, 20), turn=30, arc=(-90, 90)))], "#f7f2da")
    walls = ("#8d4f45", "#7c6a58", "#5f6c7d", "#9a7148", "#6d5672")
    roofs = ("#3c2b33", "#43303a", "#2f3142", "#41302c", "#352a3a")
    for number in range(5):
        lit = [bool(value) for value in rng.uniform(0, 1, 5) < 0.6]
        top = (186, 166, 194, 172, 190)[number]
        _house(canvas, (12 + number * 150, top, 152 + number * 150, 366), walls[number], roofs[number], lit)
    canvas.gradient((0, 366, 768, 396), [(0, "#77706f"), (1, "#8d8580")])
    canvas.rect((0, 394, 768, 400), "#b0a79f")
    canvas.gradient((0, 400, 768, 512), [(0, "#3a3a45"), (1, "#26262f")])
    for x in range(-20, 768, 90):
        canvas.rect((x, 452, x + 50, 457), "#d9d2bd")
    for x in (158, 612):
        _street_lamp(canvas, x, 392)
        canvas.ellipse(x, 396, 70, 10, faded("#ffdf90", 0.2))
    for x, ground, colour, facing in ((262, 442, "#b8262c", -1), (520, 496, "#2f62b5", 1)):
        front = x + facing * 78
        for reach in range(20, 150, 10):
            spread = reach * 0.16
            far = [(front + facing * reach, ground - 36 - spread), (front + facing * reach, ground - 26 + spread * 1.4)]
            canvas.polygon([(front, ground - 34), *far], faded("#fff0b0", 0.035))
        car(canvas, x, ground, 164, colour, facing)
        canvas.glow(front - facing * 3, ground - 34, 22, "#fff6cf", 0.9)
    return canvas.finish(), (
        "A street at dusk with a row of five houses, some of their windows lit. Two street lamps are on; a red car "
        "drives to the left and a blue car to the right, both with their headlights on. A crescent moon stands in "
        "the orange and purple sky."
    )


def _swan(canvas: Canvas, x: float, water: float, size: float, facing: int = 1) -> None:
    """A white swan that swims, seen from the side."""
    unit = size / 100

    def at(px: float, py: float) -> Point:
        return (x + facing * px * unit, water - py * unit)

    body = [at(*p) for p in pts("-58,22 -40,26 -10,34 22,24 38,10 30,-3 -20,-4 -44,6")]
    canvas.blob(body, "#f7f8fb")
    canvas.blob([at(*p) for p in pts("-52,24 -22,36 10,26 14,10 -12,6 -36,14")], "#e1e5ee")
    canvas.curve([at(*p) for p in pts("30,12 44,30 34,52 38,72 50,76")], "#f7f8fb", 12 * unit)
    canvas.ellipse(*at(49, 75), 10 * unit, 8 * unit, "#f7f8fb")
    canvas.polygon([at(56, 79), at(74, 69), at(56, 70)], "#ee8a2c")
    canvas.polygon([at(53, 78), at(60, 77), at(57, 72)], "#23252b")
    canvas.ellipse(*at(51, 77), 1.8 * unit, fill="#23252b")


def _ripples(canvas: Canvas, rng: np.random.Generator, top: float) -> None:
    """Light and dark ripples on the water below `top`."""
    for depth in np.sort(rng.uniform(0, 1, 420)):
        x, y = rng.uniform(-20, canvas.width), top + 4 + depth**1.4 * (canvas.height - top)
        half = 5 + 34 * depth
        colour = faded("#ffffff" if rng.uniform() < 0.55 else "#0e3550", rng.uniform(0.08, 0.25))
        canvas.ellipse(x, y, half, 0.5 + 1.1 * depth, colour)


def _mountains(canvas: Canvas, skyline: list[Point], foot: float, colour: str) -> None:
    """A mountain chain down to `foot`; every peak has a cap of snow and a shaded right side."""
    canvas.polygon(below(skyline, foot), colour)
    for (x0, y0), (x1, y1), (x2, y2) in zip(skyline, skyline[1:], skyline[2:], strict=False):
        if y1 >= min(y0, y2):
            continue
        left, right = ((x1 + (x - x1) * 0.36, y1 + (y - y1) * 0.36) for x, y in ((x0, y0), (x2, y2)))
        drops = ((0.8, 0.72), (0.62, 1.12), (0.44, 0.74), (0.24, 1.16))
        jag = [(left[0] + (right[0] - left[0]) * share, y1 + (left[1] - y1) * drop) for share, drop in drops]
        canvas.polygon([left, (x1, y1), right, *jag], "#f6f9fc")
        shade = [(x1 + (x2 - x1) * 0.85, foot), (x1 + 22, foot), (x1 + 4, (y1 + foot) / 2), (x1 + 12, y1 + 38)]
        canvas.polygon([(x1, y1), (x2, y2), *shade], faded("#1d3347", 0.2))


def _mirror(canvas: Canvas, rng: np.random.Generator, shore: int) -> None:
    """Fill everything below `shore` with water that mirrors what stands above it."""
    unit = canvas.scale
    above = canvas.image.crop((0, (2 * shore - canvas.height) * unit, canvas.width * unit, shore * unit))
    mirrored = ImageOps.flip(above).filter(ImageFilter.GaussianBlur(3 * unit))
    canvas.image.paste(Image.blend(mirrored, Image.new("RGB", mirrored.size, "#2f6f95"), 0.42), (0, shore * unit))
    _ripples(canvas, rng, shore)


def _reeds(canvas: Canvas, rng: np.random.Generator) -> None:
    """Reeds in the lower right corner, some with a brown head."""
    for _ in range(46):
        x, tall, lean = rng.uniform(560, 720), rng.uniform(50, 135), rng.uniform(-14, 14)
        stem = [(x, 490.0), (x + lean * 0.3, 490 - tall * 0.6), (x + lean, 490 - tall)]
        canvas.curve(stem, mix("#5d7a2f", "#2c4a1c", rng.uniform()), 2.2)
        if rng.uniform() < 0.3:
            canvas.line([stem[-1], (x + lean * 1.15, 468 - tall)], "#6b4423", 5.5, caps=True)


@picture("natural_scenes", "lake_birds.jpg")
def lake_birds(rng: np.random.Generator) -> Picture:
    """Two swans on a lake before snowy mountains, five birds in the air and reeds at the shore."""
    canvas, shore = Canvas(720, 480), 250
    canvas.gradient((0, 0, 720, shore), [(0, "#5aa2dc"), (1, "#f2e6d2")])
    cloud(canvas, 560, 62, 40)
    _mountains(canvas, pts("-20,240 70,130 130,170 215,60 290,150 350,110 450,235"), shore, "#7089a3")
    _mountains(canvas, pts("300,245 400,150 450,180 540,85 610,160 660,130 760,245"), shore, "#5f7890")
    for x in range(-10, 740, 15):
        shade = mix("#2c5a45", "#16352b", rng.uniform(0, 1))
        conifer(canvas, x + rng.uniform(-5, 5), shore + 2, rng.uniform(26, 52), shade)
    canvas.rect((0, shore - 3, 720, shore + 1), "#2a4a38")
    _mirror(canvas, rng, shore)
    for x, y, span in ((250, 60, 34), (292, 44, 28), (332, 66, 30), (372, 40, 24), (406, 78, 26)):
        bird(canvas, x, y, span)
    for x, water, size, facing in ((240, 372, 150, 1), (470, 340, 112, -1)):
        canvas.ellipse(x, water + size * 0.05, size * 0.52, size * 0.05, faded("#ffffff", 0.4))
        canvas.ellipse(x, water + size * 0.16, size * 0.34, size * 0.06, faded("#ffffff", 0.2))
        _swan(canvas, x, water, size, facing)
    _reeds(canvas, rng)
    return canvas.finish(), (
        "Two white swans swim towards each other on a calm mountain lake while five birds fly past. Snow-capped "
        "mountains and a line of dark firs stand on the far shore, and reeds grow in the lower right corner."
    )


FIELDS = (
    ("-5,-5 190,-5 180,150 -5,165", "#c9b458", 16),
    ("194,-5 380,-5 372,128 184,148", "#6f9c3f", 14),
    ("-5,172 178,158 170,318 -5,332", "#8a6a42", 18),
    ("184,156 370,136 364,300 174,318", "#98b455", 12),
    ("-5,372 158,356 150,610 -5,610", "#d8c987", 20),
    ("400,372 610,352 610,610 380,610", "#a98f4e", 22),
)


def _field(canvas: Canvas, corners: list[Point], colour: str, rows: int) -> None:
    """A field of four corners with `rows` furrows along its first side."""
    canvas.polygon(corners, colour)
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = corners
    for number in range(1, rows):
        share = number / rows
        start = (ax + (dx - ax) * share, ay + (dy - ay) * share)
        end = (bx + (cx - bx) * share, by + (cy - by) * share)
        canvas.line([start, end], faded("#1c2a08", 0.25), 1.3)
    canvas.polygon(corners, None, mix(colour, "#20300f", 0.45), 2)


def _roof(canvas: Canvas, x: float, y: float, width: float, depth: float, colour: str) -> None:
    """A house seen from above: two roof faces and the shadow they throw."""
    canvas.rect((x + 7, y + 7, x + width + 7, y + depth + 7), faded("#0a1405", 0.4))
    canvas.rect((x, y, x + width, y + depth / 2), mix(colour, "#ffffff", 0.18))
    canvas.rect((x, y + depth / 2, x + width, y + depth), mix(colour, "#000000", 0.2))
    canvas.line([(x, y + depth / 2), (x + width, y + depth / 2)], mix(colour, "#ffffff", 0.5), 1)


def _tree_tops(canvas: Canvas, rng: np.random.Generator, places: list[Point]) -> None:
    """Trees seen from above, each with its shadow."""
    for x, y in places:
        radius = rng.uniform(6, 11)
        canvas.ellipse(x + 4, y + 4, radius, fill=faded("#0a1405", 0.4))
        shade = mix("#2f6428", "#4f8a38", rng.uniform())
        canvas.ellipse(x, y, radius, fill=shade)
        canvas.ellipse(x - radius * 0.25, y - radius * 0.25, radius * 0.55, fill=mix(shade, "#cbe08a", 0.25))


def _tractor(canvas: Canvas, x: float, y: float) -> None:
    """A red tractor seen from above, with the dark strip that it has ploughed behind it."""
    canvas.polygon([(-5, y - 5), (x - 14, y - 9), (x - 14, y + 9), (-5, y + 15)], faded("#2b1a0a", 0.45))
    canvas.rect((x - 14, y - 12, x + 22, y + 14), faded("#0a1405", 0.35), radius=4)
    for box in (
        (x - 12, y - 13, x + 2, y - 7),
        (x - 12, y + 7, x + 2, y + 13),
        (x + 10, y - 9, x + 18, y - 5),
        (x + 10, y + 5, x + 18, y + 9),
    ):
        canvas.rect(box, "#1b1b1b", radius=1.5)
    canvas.rect((x - 2, y - 5, x + 21, y + 5), "#c9302a", radius=2)
    canvas.rect((x - 10, y - 8, x + 4, y + 8), "#e4e7ea", "#8f2320", 1.5, radius=2)


@picture("natural_scenes", "farm_aerial.jpg")
def farm_aerial(rng: np.random.Generator) -> Picture:
    """A farm from straight above: striped fields, a round irrigated field, a river, a road, a farmyard."""
    canvas = Canvas(600, 600, "#7d9a4b")
    for corners, colour, rows in FIELDS:
        _field(canvas, pts(corners), colour, rows)
    canvas.rect((160, 356, 396, 610), "#86a552")
    canvas.ellipse(276, 484, 96, fill="#b7a96a")
    for radius in range(92, 0, -8):
        canvas.ellipse(276, 484, radius, fill=mix("#4d8c36", "#6aa648", (radius // 8) % 2))
    canvas.line([(276, 484), (348, 426)], "#dfe6ea", 2)
    canvas.line([(-5, 350), (170, 336), (400, 318), (610, 330)], "#cfc6b4", 13)
    canvas.line([(388, -5), (380, 160), (390, 320), (368, 610)], "#cfc6b4", 9)
    river = smooth(pts("470,-20 452,80 520,160 500,250 560,300 620,312"))
    canvas.line(river, "#a7a06a", 34)
    canvas.line(river, "#3f7fa6", 27)
    canvas.line(river, "#5796b8", 12)
    canvas.rect((398, 200, 478, 304), "#b7a784", radius=5)
    _roof(canvas, 408, 212, 52, 34, "#b5402f")
    _roof(canvas, 406, 262, 40, 28, "#8a8f98")
    canvas.ellipse(462, 286, 10, fill="#d3d7da")
    canvas.ellipse(459, 283, 5, fill="#f2f4f5")
    _tree_tops(canvas, rng, [(410 + rng.uniform(-6, 30), 20 + 26 * n) for n in range(6)])
    _tree_tops(canvas, rng, [(x, 352 + rng.uniform(-3, 3)) for x in range(410, 600, 22)])
    _tree_tops(canvas, rng, [(rng.uniform(545, 596), rng.uniform(20, 250)) for _ in range(26)])
    _tractor(canvas, 78, 240)
    patches = noise(rng, 600, 600, 90)
    light = Image.fromarray((patches * 255).astype(np.uint8)).resize(canvas.image.size, Image.Resampling.BILINEAR)
    canvas.blend(Image.new("RGB", canvas.image.size, "#1f2a10"), light.point(lambda value: value * 0.22))
    canvas.grain(rng, 4)
    return canvas.finish(), (
        "An aerial view of farmland: striped fields in yellow, green and brown, a round irrigated field, a "
        "farmyard with a red-roofed house and a grey barn, two roads that cross, rows of trees, a red tractor on "
        "the ploughed field, and a river that winds through the upper right."
    )
