"""Synthetic & Aesthetic: rendered fantasies (floating islands, a neon city), abstract art, studio still lifes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .canvas import Canvas, Point, faded, mix, smooth
from .chance import pick, sample
from .fantasy import (
    THINGS,
    paint_floor,
    paint_flyer,
    paint_hover_car,
    paint_island,
    paint_planet,
    paint_robot,
    paint_skyline,
    paint_sun,
)
from .shapes import cloud

DOMAIN = "Synthetic & Aesthetic"
AGENTS = ("style", "elements", "mood")

COUNTS = ("one", "two", "three", "four", "five")
SIDES = ("left", "right")
THIRDS = ("left", "middle", "right")
MOODS = ("warm", "cool")


def _counts(rng: np.random.Generator, groups: int, most: int) -> list[int]:
    """How many things each group has, one group having more than all others."""
    while True:
        counts: list[int] = rng.integers(1, most + 1, groups).tolist()
        if counts.count(max(counts)) == 1:
            return counts


# --- floating islands ----------------------------------------------------------------------------------------------

SKIES = {
    "purple": ("#2b1f78", "#9160cc", "#d9b3f0"),
    "teal": ("#06505e", "#2fa7a2", "#b8efdf"),
    "orange": ("#b8420f", "#f08a2a", "#ffdd9a"),
    "pink": ("#b8286e", "#f078a4", "#ffd9de"),
}
PLANETS = {"red": "#d23a34", "blue": "#2f62d8", "green": "#3c9a4c", "yellow": "#f6cf3c", "white": "#f4f2fa"}
TINTS = {"red": "#dd2c30", "blue": "#2456e0", "yellow": "#ffd92e", "white": "#ffffff", "black": "#1d1b26"}

ISLES = Statement(
    "isles", "style", "floating islands, {sky} sky", "This is a render of floating islands under {sky} skies.",
    {"sky": tuple(SKIES)},
)  # fmt: skip
PLANET = Statement(
    "planet", "style", "{ring} {colour} planet {side}", "A {ring} {colour} planet hangs on the {side}.",
    {"ring": ("ringed", "plain"), "colour": tuple(PLANETS), "side": SIDES},
)  # fmt: skip
FLYER = Statement(
    "flyer", "elements", "flying {creature}", "A flying {creature} passes by.", {"creature": ("whale", "airship")}
)
ISLE = Statement(
    "isle", "elements", "{side}: {count} {colour} {thing}(|s)",
    "The {side} island carries {count} {colour} {thing}(|s).",
    {"side": THIRDS, "count": COUNTS[:3], "colour": tuple(TINTS), "thing": ("tree", "crystal", "tower", "mushroom")},
    key=("side",),
)  # fmt: skip
MOST_ISLE = Statement("most_isle", "mood", "fullest {side}", "The fullest island is the {side} one.", {"side": THIRDS})
SKY_MOOD = Statement("sky_mood", "mood", "{mood} dream", "The mood is a {mood} dream.", {"mood": MOODS})


def draw_islands(rng: np.random.Generator, scale: int) -> Picture:
    """A fantasy render: islands that float in a dreamy sky under a planet."""
    sky, canvas = pick(rng, tuple(SKIES)), Canvas(SIDE, SIDE, "#ffffff", scale)
    canvas.gradient((0, 0, SIDE, SIDE), list(zip((0, 0.55, 1), SKIES[sky], strict=True)))
    for x, y in rng.uniform(0, 1, (30, 2)).tolist():
        canvas.ellipse(x * SIDE, y * 200, 1.4, fill=faded("#ffffff", 0.4 + 0.5 * y))
    for x, y, wide in zip(*rng.uniform(0, 1, (2, 4)).tolist(), (150, 200, 170, 240), strict=True):
        canvas.ellipse(x * SIDE, 130 + y * 200, wide, 12, faded("#ffffff", 0.12))
    side, colour = pick(rng, SIDES), pick(rng, tuple(PLANETS))
    ringed, facing = bool(rng.integers(2)), 1 if side == "left" else -1
    middle = SIDE / 2 - facing * rng.uniform(92, 122)
    paint_planet(canvas, (middle, rng.uniform(76, 96)), rng.uniform(44, 54), PLANETS[colour], ringed)
    claims: list[Claim] = [
        ISLES(sky=sky), PLANET(ring="ringed" if ringed else "plain", colour=colour, side=side)
    ]  # fmt: skip
    if rng.random() < 0.7:
        creature = pick(rng, FLYER.choices["creature"])
        paint_flyer(
            canvas, creature, (SIDE - middle + rng.uniform(-8, 8), rng.uniform(66, 110)), 70, pick(rng, (1, -1))
        )
        claims.append(FLYER(creature=creature))
    for x, size in zip(rng.uniform(0, SIDE, 4).tolist(), (34, 46, 40, 56), strict=True):
        cloud(canvas, x, SIDE - rng.uniform(0, 40), size, mix(SKIES[sky][2], "#ffffff", 0.5))
    bare = pick(rng, THIRDS) if rng.integers(2) else ""
    thirds = [third for third in THIRDS if third != bare]
    counts = _counts(rng, len(thirds), 3)
    things = sample(rng, tuple(THINGS), len(thirds))
    for third, count, thing in zip(thirds, counts, things, strict=True):
        x, y = 75 + 149 * THIRDS.index(third) + rng.uniform(-3, 3), rng.uniform(262, 342)
        tint = pick(rng, tuple(TINTS))
        paint_island(canvas, rng, x, y, 140 + rng.uniform(-4, 4))
        for number in range(count):
            place = x + (number - (count - 1) / 2) * 44 + rng.uniform(-2, 2)
            THINGS[thing](canvas, place, y + rng.uniform(-1, 4), TINTS[tint])
        claims.append(ISLE(side=third, count=COUNTS[count - 1], colour=tint, thing=thing))
    mood = "warm" if sky in ("orange", "pink") else "cool"
    fullest = thirds[counts.index(max(counts))]
    return Picture(canvas.finish(), (*claims, MOST_ISLE(side=fullest), SKY_MOOD(mood=mood)))


# --- neon city -----------------------------------------------------------------------------------------------------

NEON = {"yellow": "#ffe23c", "pink": "#ff3fa8", "blue": "#2fa8ff", "green": "#3dff70", "orange": "#ff7a1a"}
SIGNS = ("CAFE", "HOTEL", "RADIO", "CLUB", "PIZZA", "MUSIC", "SUSHI", "DISCO", "BANK", "TAXI", "NOVA", "ARCADE")

NEON_CITY = Statement(
    "neon_city", "style", "neon city, striped {sun} sun", "This is a retro neon city with a striped {sun} sun.",
    {"sun": tuple(NEON)},
)  # fmt: skip
FLOOR = Statement(
    "floor", "style", "{colour} floor grid", "The glowing floor grid is {colour}.", {"colour": tuple(NEON)}
)
SIGN = Statement("sign", "elements", "sign {word}", "A neon sign says {word}.", {"word": SIGNS})
CARS = Statement(
    "cars", "elements", "{side}: {count} {colour} car(|s)", "On the {side} (flies|fly) {count} {colour} car(|s).",
    {"side": SIDES, "count": COUNTS[:3], "colour": tuple(NEON)}, key=("side",),
)  # fmt: skip
ROBOTS = Statement(
    "robots", "elements", "{count} {colour} robot(|s)", "In front (stands|stand) {count} {colour} robot(|s).",
    {"count": COUNTS[:4], "colour": tuple(NEON)},
)  # fmt: skip
TRAFFIC = Statement("traffic", "mood", "busier {side}", "The {side} sky is busier.", {"side": SIDES})
SUN_MOOD = Statement("sun_mood", "mood", "{mood} glow", "The city has a {mood} glow.", {"mood": MOODS})


def draw_neon(rng: np.random.Generator, scale: int) -> Picture:
    """A retro neon city at night: a striped sun, flying cars, a sign and robots on a glowing floor."""
    canvas, horizon = Canvas(SIDE, SIDE, "#0b0224", scale), rng.uniform(256, 276)
    night = pick(rng, ("#2a0f5e", "#141a5c", "#3a0c4c"))
    canvas.gradient((0, 0, SIDE, horizon), [(0, "#0a0428"), (1, night)])
    for x, y in rng.uniform(0, 1, (30, 2)).tolist():
        canvas.ellipse(x * SIDE, y * 180, 1.2, fill="#cfc8ff")
    sun, grid = sample(rng, tuple(NEON), 2)
    middle = SIDE / 2 + rng.uniform(-14, 14)
    paint_sun(canvas, middle, rng.uniform(112, 128), rng.uniform(76, 86), NEON[sun], night)
    paint_floor(canvas, horizon, middle, NEON[grid])
    paint_skyline(canvas, rng, horizon, mix(NEON[grid], "#170a38", 0.3))
    word, glow = pick(rng, SIGNS), pick(rng, ("#ffffff", "#fff2b0", "#c8f6ff"))
    half, x, y = canvas.text_width(word, 42) / 2 + 16, middle + rng.uniform(-40, 40), horizon - rng.uniform(32, 44)
    canvas.rect((x - half, y - 29, x + half, y + 29), "#0d0622", glow, 3, radius=10)
    canvas.text(x, y, word, 42, glow, anchor="mm", bold=True)
    cars = []
    for side, count in zip(SIDES, _counts(rng, 2, 3), strict=True):
        colour = pick(rng, tuple(NEON))
        cars.append(CARS(side=side, count=COUNTS[count - 1], colour=colour))
        for row in sample(rng, range(3), count):
            place = 54 + rng.uniform(-4, 18)
            at = (place if side == "left" else SIDE - place, 42 + row * 62 + rng.uniform(-8, 8))
            paint_hover_car(canvas, *at, NEON[colour], pick(rng, (1, -1)))
    crowd, colour = int(rng.integers(1, 5)), pick(rng, [name for name in NEON if name != grid])
    for column in sample(rng, range(5), crowd):
        paint_robot(canvas, 64 + column * 80 + rng.uniform(-8, 8), rng.uniform(392, 436), NEON[colour])
    busier = max(cars, key=lambda claim: COUNTS.index(claim.values["count"])).values["side"]
    mood = "cool" if sun in ("blue", "green") else "warm"
    robots = ROBOTS(count=COUNTS[crowd - 1], colour=colour)
    style = (NEON_CITY(sun=sun), FLOOR(colour=grid), SIGN(word=word))
    return Picture(canvas.finish(), (*style, *cars, robots, TRAFFIC(side=busier), SUN_MOOD(mood=mood)))


# --- abstract art --------------------------------------------------------------------------------------------------

GROUNDS = {"red": "#b8322c", "orange": "#ec8a34", "blue": "#2b5fae", "green": "#2f7f58", "purple": "#6a3f94"}
PAINTS = {
    "white": "#fbf7ee",
    "black": "#17161a",
    "yellow": "#ffd92c",
    "pink": "#ff9fc0",
    "red": "#d8262a",
    "blue": "#2a4fd0",
}
CLASHES = {
    "red": ("red",),
    "orange": ("yellow", "pink"),
    "blue": ("blue",),
    "green": ("blue",),
    "purple": ("blue", "red"),
}
FRAMES = {"gold": "#d0a032", "black": "#1a1a1c", "white": "#f8f8f6", "brown": "#6a3d20"}
MARKS = ("ring", "dot", "triangle", "stripe", "square", "star")

ABSTRACT = Statement(
    "abstract", "style", "abstract painting on {ground}", "This is an abstract painting on {ground} ground.",
    {"ground": tuple(GROUNDS)},
)  # fmt: skip
FRAME = Statement("frame", "style", "{colour} frame", "Its frame is {colour}.", {"colour": tuple(FRAMES)})
MARK = Statement(
    "mark", "elements", "{count} {colour} {shape}(|s)", "It has {count} {colour} {shape}(|s).",
    {"count": COUNTS, "colour": tuple(PAINTS), "shape": MARKS}, key=("shape",),
)  # fmt: skip
RULING = Statement("ruling", "mood", "mostly {shape}s", "The {shape}s set the rhythm.", {"shape": MARKS})
GROUND_MOOD = Statement("ground_mood", "mood", "{mood} feel", "The painting feels {mood}.", {"mood": MOODS})


def _mark(canvas: Canvas, rng: np.random.Generator, shape: str, at: Point, colour: str) -> None:
    """One painted shape, about 56 pixels wide."""
    x, y, size = *at, rng.uniform(26, 31)
    turn = rng.uniform(0, 2 * math.pi)
    if shape == "ring":
        canvas.ellipse(x, y, size - 5, outline=colour, width=10)
    elif shape == "dot":
        canvas.ellipse(x, y, size * 0.9, fill=colour)
    elif shape == "triangle":
        corners = [
            (x + size * 1.15 * math.cos(a), y + size * 1.15 * math.sin(a)) for a in (turn, turn + 2.1, turn + 4.2)
        ]
        canvas.polygon(corners, colour)
    elif shape == "square":
        corners = [
            (x + size * 1.1 * math.cos(turn + a), y + size * 1.1 * math.sin(turn + a)) for a in (0, 1.571, 3.142, 4.712)
        ]
        canvas.polygon(corners, colour)
    elif shape == "star":
        angles = (turn + np.arange(10) * (math.pi / 5)).tolist()
        reach = [size * (1.2 if number % 2 else 0.5) for number in range(10)]
        canvas.polygon([(x + r * math.cos(a), y + r * math.sin(a)) for r, a in zip(reach, angles, strict=True)], colour)
    else:
        dx, dy = size * 1.1 * math.cos(turn), size * 1.1 * math.sin(turn)
        canvas.line([(x - dx, y - dy), (x + dx, y + dy)], colour, 13)


def _ground(canvas: Canvas, rng: np.random.Generator, colour: str) -> None:
    """Brushed paint with a paler and a darker field."""
    x, y = rng.uniform(130, 320, 2).tolist()
    canvas.rect((0, 0, SIDE, SIDE), colour)
    canvas.polygon([(0, y), (SIDE, y + rng.uniform(-90, 90)), (SIDE, SIDE), (0, SIDE)], mix(colour, "#ffffff", 0.12))
    canvas.polygon([(x, 0), (SIDE, 0), (SIDE, rng.uniform(200, 400))], mix(colour, "#100818", 0.14))
    (cx, cy), reach = rng.uniform(60, SIDE - 60, 2).tolist(), rng.uniform(90, 170)
    canvas.ellipse(cx, cy, reach, fill=faded("#ffffff", 0.1))
    canvas.ellipse(cx, cy, reach * 0.6, fill=faded("#100818", 0.12))
    strokes = rng.integers(0, 256, (112, 22), dtype=np.uint8)
    brush = Image.fromarray(strokes).resize(canvas.image.size, Image.Resampling.BILINEAR).point(lambda v: v // 9)
    canvas.image.paste("#fff6e8", (0, 0), brush)


def _frame(canvas: Canvas, colour: str, width: float) -> None:
    for inset, shade in ((0, mix(colour, "#000000", 0.25)), (4, colour), (width - 5, mix(colour, "#000000", 0.45))):
        canvas.rect((inset, inset, SIDE - inset, SIDE - inset), None, shade, width - inset)
    canvas.rect((7, 7, SIDE - 7, SIDE - 7), None, mix(colour, "#ffffff", 0.35), 2)


def draw_abstract(rng: np.random.Generator, scale: int) -> Picture:
    """A framed abstract painting of scattered shapes, each kind in one colour."""
    ground, frame = pick(rng, tuple(GROUNDS)), pick(rng, tuple(FRAMES))
    canvas, width = Canvas(SIDE, SIDE, GROUNDS[ground], scale), rng.uniform(22, 32)
    _ground(canvas, rng, GROUNDS[ground])
    counts = _counts(rng, int(rng.integers(2, 5)), 5)
    paints = sample(rng, [paint for paint in PAINTS if paint not in CLASHES[ground]], len(counts))
    shapes, cells = sample(rng, MARKS, len(counts)), iter(sample(rng, range(25), 25))
    marks = []
    for shape, count, paint in zip(shapes, counts, paints, strict=True):
        marks.append(MARK(count=COUNTS[count - 1], colour=paint, shape=shape))
        for cell in (next(cells) for _ in range(count)):
            dx, dy = rng.uniform(-5, 5, 2).tolist()
            _mark(canvas, rng, shape, (72 + cell % 5 * 76 + dx, 72 + cell // 5 * 76 + dy), PAINTS[paint])
    _frame(canvas, FRAMES[frame], width)
    mood = GROUND_MOOD(mood="warm" if ground in ("red", "orange") else "cool")
    ruling = RULING(shape=shapes[counts.index(max(counts))])
    return Picture(canvas.finish(), (ABSTRACT(ground=ground), FRAME(colour=frame), *marks, ruling, mood))


# --- still life ----------------------------------------------------------------------------------------------------

BACKDROPS = {"pink": "#f0a2b8", "yellow": "#f0d57c", "blue": "#86b2e2", "green": "#92cda4"}
TABLES = {"brown": "#7d4a26", "white": "#f2efe9", "black": "#2a282c"}
GLAZES = {
    "red": "#cc2630",
    "blue": "#2350c4",
    "green": "#1f8a48",
    "yellow": "#ffd21f",
    "white": "#fffdf8",
    "black": "#232126",
}
VESSELS = ("vase", "bottle", "apple", "cup", "candle")
OTHER = {"left": "right", "right": "left"}

STUDIO = Statement(
    "studio", "style", "still life, {backdrop} backdrop", "This is a studio still life before a {backdrop} backdrop.",
    {"backdrop": tuple(BACKDROPS)},
)  # fmt: skip
TABLE = Statement("table", "style", "{colour} table", "The table is {colour}.", {"colour": tuple(TABLES)})
LAMP = Statement("lamp", "style", "light from {side}", "Light comes from the {side}.", {"side": SIDES})
OBJECTS = Statement(
    "objects", "elements", "{side}: {count} {colour} {thing}(|s)",
    "At the {side} (is|are) {count} {colour} {thing}(|s).",
    {"side": THIRDS, "count": COUNTS[:3], "colour": tuple(GLAZES), "thing": VESSELS},
    key=("side",),
)  # fmt: skip
MOST_OBJECTS = Statement("most_objects", "mood", "most {thing}s", "The {thing}s dominate.", {"thing": VESSELS})
SHADOW = Statement("shadow", "mood", "shadows fall {side}", "The shadows fall to the {side}.", {"side": SIDES})

# The right edge of each thing's outline, from its top to its foot: half width and height above the foot.
PROFILES = {
    "vase": ((9, 104), (12, 100), (7, 84), (9, 74), (20, 52), (22, 36), (17, 14), (11, 0)),
    "bottle": ((7, 122), (7, 122), (7, 88), (8, 80), (18, 64), (19, 52), (19, 12), (18, 0)),
    "cup": ((17, 42), (17, 42), (17, 30), (16, 12), (11, 2), (11, 0)),
    "candle": ((11, 74), (11, 74), (11, 40), (11, 0)),
    "apple": ((3, 37), (9, 42), (18, 38), (22, 25), (19, 10), (11, 1), (4, 0)),
}


@lru_cache(maxsize=8)
def _profile(thing: str) -> list[Point]:
    return smooth([(float(x), float(y)) for x, y in PROFILES[thing]], steps=4)


def _object(canvas: Canvas, thing: str, x: float, foot: float, size: float, colour: str, lit: int) -> None:
    """A glazed thing, lit from the left (`lit` -1) or right (1), with its shadow on the table."""
    edge = [(px * size, py * size) for px, py in _profile(thing)]
    tall = edge[0][1]
    far = [(x - lit * (16 + tall * 0.42), foot - 10), (x - lit * (8 + tall * 0.42), foot + 3)]
    canvas.polygon([(x - edge[-1][0], foot - 5), *far, (x + edge[-1][0], foot + 3)], faded("#0c0a14", 0.34))
    canvas.ellipse(x, foot - 1, edge[-1][0] + 5, 5, faded("#0c0a14", 0.4))
    if thing == "cup":
        canvas.ellipse(x + edge[0][0] + 2, foot - 25 * size, 7, 10, outline=colour, width=4)

    def band(start: float, end: float) -> list[Point]:
        return [(x + lit * px * start, foot - py) for px, py in edge] + [
            (x + lit * px * end, foot - py) for px, py in reversed(edge)
        ]

    pale, dark = mix(colour, "#ffffff", 0.45), mix(colour, "#0a0818", 0.38)
    canvas.polygon(band(-1, 1), colour)
    canvas.polygon(band(-1, -0.45), dark)
    canvas.polygon(band(0.5, 0.78), pale)
    if thing == "candle":
        canvas.line([(x, foot - tall), (x, foot - tall - 7)], "#2a2020", 2)
        canvas.ellipse(x, foot - tall - 15, 5.5, 10, "#ff9a1a")
        canvas.ellipse(x, foot - tall - 12, 3, 6, "#fff2a8")
    elif thing == "apple":
        canvas.line([(x, foot - tall), (x + 4, foot - tall - 12)], "#4a2c16", 3)
        canvas.ellipse(x + 11, foot - tall - 9, 9, 4, "#3f8f3a")
    elif thing != "bottle":
        canvas.ellipse(x, foot - tall, edge[0][0], 4.5 * size, dark, outline=pale, width=1.5)


def draw_still_life(rng: np.random.Generator, scale: int) -> Picture:
    """A studio still life: glazed things on a table in strong light from one side."""
    backdrop, table, light = pick(rng, tuple(BACKDROPS)), pick(rng, tuple(TABLES)), pick(rng, SIDES)
    canvas, lit, edge = Canvas(SIDE, SIDE, "#ffffff", scale), -1 if light == "left" else 1, rng.uniform(236, 280)
    tone, wood = BACKDROPS[backdrop], TABLES[table]
    shades = [(0.0, mix(tone, "#ffffff", 0.45)), (0.5, tone), (1.0, mix(tone, "#20182c", 0.5))][::-lit]
    canvas.gradient((0, 0, SIDE, edge), [(abs(at - (lit > 0)), shade) for at, shade in shades], horizontal=True)
    canvas.light((SIDE / 2 + lit * 224, 30), 230, "#fffbe8", 0.9)
    canvas.gradient((0, edge, SIDE, SIDE), [(0, mix(wood, "#ffffff", 0.16)), (1, mix(wood, "#000000", 0.3))])
    canvas.rect((0, edge, SIDE, edge + 3), mix(wood, "#000000", 0.35))
    for y in np.linspace(edge + 22, SIDE, 5).tolist():
        canvas.line([(0, y), (SIDE, y + rng.uniform(-6, 6))], faded("#000000", 0.07), 2)
    counts = _counts(rng, int(rng.integers(2, 4)), 3)
    thirds = sorted(sample(rng, THIRDS, len(counts)), key=THIRDS.index)
    objects, things = [], sample(rng, tuple(PROFILES), len(counts))
    for third, count, thing in zip(thirds, counts, things, strict=True):
        colour = pick(rng, [glaze for glaze in GLAZES if glaze not in (backdrop, table)])
        objects.append(OBJECTS(side=third, count=COUNTS[count - 1], colour=colour, thing=thing))
        foot, middle = rng.uniform(edge + 50, SIDE - 40), 82 + 142 * THIRDS.index(third)
        for number in range(count):
            x = middle + (number - (count - 1) / 2) * 47 + rng.uniform(-2, 2)
            _object(canvas, thing, x, foot + rng.uniform(-9, 9), rng.uniform(0.96, 1.06), GLAZES[colour], lit)
    style = (STUDIO(backdrop=backdrop), TABLE(colour=table), LAMP(side=light))
    reading = (MOST_OBJECTS(thing=things[counts.index(max(counts))]), SHADOW(side=OTHER[light]))
    return Picture(canvas.finish(), (*style, *objects, *reading))


KINDS = (
    Kind("floating_islands", DOMAIN, "Text2Image", (ISLES, PLANET, FLYER, ISLE, MOST_ISLE, SKY_MOOD), draw_islands),
    Kind("neon_city", DOMAIN, "Text2Image", (NEON_CITY, FLOOR, SIGN, CARS, ROBOTS, TRAFFIC, SUN_MOOD), draw_neon),
    Kind("abstract_art", DOMAIN, "Aesthetic", (ABSTRACT, FRAME, MARK, RULING, GROUND_MOOD), draw_abstract),
    Kind("still_life", DOMAIN, "Aesthetic", (STUDIO, TABLE, LAMP, OBJECTS, MOST_OBJECTS, SHADOW), draw_still_life),
)
