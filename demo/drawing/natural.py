"""Natural scenes that look like photographs: landscapes, people, animals, and land seen from the air."""

from __future__ import annotations

import numpy as np

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .aerial import paint_field, paint_land, paint_roofs, paint_way
from .canvas import Box, Canvas, Point, faded
from .chance import pick, sample
from .scenery import LIGHTS, paint_backdrop, paint_weather, photo, unseen
from .sketches import ANIMALS, BALL, BALLOON, BLACK, GUITAR, ITEMS, KITE, PLANTS, THINGS, height, paint

DOMAIN = "Natural"
AGENTS = ("setting", "things", "relations")

COLOURS = {
    "red": "#d41f2a",
    "orange": "#f78a14",
    "yellow": "#f9e03c",
    "green": "#1c9440",
    "blue": "#2252d0",
    "purple": "#8a2bb5",
    "white": "#fbfbf8",
    "black": BLACK,
}
COATS = {"brown": "#7d4519", "golden": "#f0ad2c", "grey": "#8b939b", "white": "#fbfbf8", "black": BLACK}
CROPS = {"green": "#57a136", "yellow": "#ecd14a", "brown": "#8c5c34", "purple": "#9366b8", "red": "#c8423f"}
ROOFS = {"red": "#cf3a2c", "orange": "#f0932f", "blue": "#2f5fd0", "white": "#f7f6f2", "black": "#26282d"}
COUNTS = ("one", "two", "three", "four", "five")
DIFFERENT = range(1, 6)  # counts of which no two groups have the same, so that one group is the largest
TOTALS = ("three", "four", "five", "six", "seven", "eight", "nine")  # of two different counts

FOUND = {
    "lake": ("sailboat", "ship"),
    "meadow": ("house", "tree", "car"),
    "valley": ("house", "tree", "tent"),
    "desert": ("car", "truck", "tent"),
    "city": ("car", "truck"),
    "beach": ("parasol", "tent"),
}

_SIDES = ("left", "right", "top")
_HOLDERS = ("left", "centre", "right")
_PEOPLE = ("man", "woman", "child")
_LANDS = ("farmland", "a forest", "a desert", "a town", "an island")
_CORNERS = ("upper left", "upper right", "lower left", "lower right")

LIGHT = Statement("light", "setting", "{light}", "It is {light}.", {"light": LIGHTS})
LANDSCAPE = Statement(
    "landscape", "setting", "landscape {place}", "A landscape shows a {place}.", {"place": tuple(FOUND)}
)
GROUP = Statement(
    "group",
    "things",
    "{side}: {count} {colour} {thing}(|s)",
    "At the {side} (is|are) {count} {colour} {thing}(|s).",
    {"side": _SIDES, "count": COUNTS, "colour": tuple(COLOURS), "thing": tuple(THINGS)},
    key=("side",),
)
LARGEST = Statement(
    "largest", "relations", "most {side}", "The largest group of things is at the {side}.", {"side": _SIDES}
)
SUM = Statement(
    "sum", "relations", "left and right {total}", "Left and right together make {total}.", {"total": TOTALS}
)
MEETING = Statement(
    "meeting",
    "setting",
    "people {place}",
    "A holiday photo shows people and a {place}.",
    {"place": ("meadow", "valley", "beach", "city", "desert")},
)
PERSON = Statement(
    "person",
    "things",
    "{side}: {person} in {shirt}, {colour} {item}",
    "At the {side} a {person} in {shirt} holds a {colour} {item}.",
    {
        "side": _HOLDERS,
        "person": _PEOPLE,
        "shirt": tuple(COLOURS),
        "colour": tuple(colour for colour in COLOURS if colour != "orange"),  # "a orange" is no English
        "item": tuple(ITEMS),
    },
    key=("side",),
)
HEADS = Statement(
    "heads", "relations", "{heads} people", "In all there are {heads} people.", {"heads": ("two", "three")}
)
ORDER = Statement(
    "order",
    "relations",
    "{first} left of {second}",
    "The {first} is to the left of the {second}.",
    {"first": tuple(ITEMS), "second": tuple(ITEMS)},
)
WILDLIFE = Statement(
    "wildlife",
    "setting",
    "animals {place}",
    "A wildlife photo shows a {place}.",
    {"place": ("meadow", "valley", "desert", "beach", "forest")},
)
HERD = Statement(
    "herd",
    "things",
    "{side}: {count} {coat} {animal}(|s)",
    "At the {side} (is|are) {count} {coat} {animal}(|s).",
    {"side": ("left", "right"), "count": COUNTS, "coat": tuple(COATS), "animal": tuple(ANIMALS)},
    key=("side",),
)
PLANT = Statement(
    "plant",
    "things",
    "front: {count} {colour} {plant}(|s)",
    "In front (grows|grow) {count} {colour} {plant}(|s).",
    {"count": COUNTS, "colour": ("red", "yellow", "blue", "purple", "white"), "plant": tuple(PLANTS)},
)
OUTNUMBER = Statement(
    "outnumber",
    "relations",
    "more {more}s than {fewer}s",
    "There are more {more}s than {fewer}s.",
    {"more": tuple(ANIMALS), "fewer": tuple(ANIMALS)},
)
ANIMAL_SUM = Statement(
    "animal_sum", "relations", "{total} animals", "Altogether there are {total} animals.", {"total": TOTALS}
)
AERIAL = Statement("aerial", "setting", "aerial {land}", "An aerial view shows {land}.", {"land": _LANDS})
WAY = Statement(
    "way",
    "setting",
    "{way} {course}",
    "A {way} runs from {course}.",
    {"way": ("river", "road", "railway"), "course": ("top to bottom", "left to right")},
)
FIELD = Statement(
    "field",
    "things",
    "{corner}: {crop} field",
    "The {corner} is a {crop} field.",
    {"corner": _CORNERS, "crop": tuple(CROPS)},
    key=("corner",),
)
ROOF = Statement(
    "roof",
    "things",
    "{corner}: {count} {colour} roof(|s)",
    "The {corner} has {count} {colour} roof(|s).",
    {"corner": _CORNERS, "count": COUNTS, "colour": tuple(ROOFS)},
    key=("corner",),
)
BUILT = Statement(
    "built", "relations", "most roofs {corner}", "Most roofs stand in the {corner}.", {"corner": _CORNERS}
)
ROOF_SUM = Statement("roof_sum", "relations", "{total} roofs", "In all there are {total} roofs.", {"total": TOTALS})


def _crowd(
    canvas: Canvas, rng: np.random.Generator, box: Box, sketch: str, count: int, colour: str, largest: float = 112
) -> None:
    """Spread `count` copies of a sketch over the box, far ones first, none over another."""
    tall = height(sketch) / 100
    wide_cells = {1: (1, 1), 2: (2, 1), 3: (2, 2), 4: (2, 2), 5: (2, 3)}
    columns, rows = wide_cells[count] if (box[3] - box[1]) > 0.7 * (box[2] - box[0]) * tall else (count, 1)
    if columns == count == 5 and box[3] - box[1] > 120:
        columns, rows = 3, 2
    wide, high = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
    size = min(wide * 0.86, high * 0.9 / tall, largest) * rng.uniform(0.88, 1.0)
    for cell in sorted(int(cell) for cell in rng.permutation(columns * rows)[:count]):
        row, column = divmod(cell, columns)
        slack = max(wide - size * 1.1, 0) / 2, max(high - size * tall - 6, 0)
        x = box[0] + wide * (column + 0.5) + rng.uniform(-slack[0], slack[0])
        foot = box[1] + high * (row + 1) - rng.uniform(0, slack[1])
        if sketch != BALLOON:
            canvas.ellipse(x, foot, size * 0.46, size * 0.06, faded("#0c1a10", 0.3))
        paint(canvas, sketch, (x, foot), size, colour, 1 if rng.uniform() < 0.5 else -1)


def _light(rng: np.random.Generator, place: str) -> str:
    lights = [light for light in LIGHTS if light != "a snowy day"] if place in ("desert", "beach") else LIGHTS
    return pick(rng, lights)


def draw_landscape(rng: np.random.Generator, scale: int) -> Picture:
    """A landscape with groups of things at the left and right, often balloons above."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    place = pick(rng, tuple(FOUND))
    light = _light(rng, place)
    horizon = paint_backdrop(canvas, rng, place, light)
    sides = _SIDES if rng.uniform() < 0.6 else _SIDES[:2]
    counts = sample(rng, DIFFERENT, len(sides))
    groups: list[Claim] = []
    for side, count in zip(sides, counts, strict=True):
        thing = "balloon" if side == "top" else pick(rng, FOUND[place])
        if thing == "tree":
            colour = pick(rng, ("green", "orange", "yellow", "red"), *(group.values["colour"] for group in groups))
        elif side == "top":
            colour = pick(
                rng,
                ("red", "yellow", "green", "purple", "white"),
                *unseen("", light),
                *(("white",) if light == LIGHTS[0] else ()),
            )
        else:
            colour = pick(rng, tuple(COLOURS), *unseen(place, light), *(group.values["colour"] for group in groups))
        middle = SIDE / 2
        box = {
            "left": (8, horizon + 8, middle - 14, 438),
            "right": (middle + 14, horizon + 8, 440, 438),
            "top": (20, 8, 428, horizon - 30),
        }[side]
        _crowd(canvas, rng, box, THINGS[thing], count, COLOURS[colour])
        groups.append(GROUP(side=side, count=COUNTS[count - 1], colour=colour, thing=thing))
    paint_weather(canvas, rng, light)
    largest = sides[counts.index(max(counts))]
    reasons = (LARGEST(side=largest), SUM(total=TOTALS[counts[0] + counts[1] - 3]))
    return Picture(photo(canvas), (LANDSCAPE(place=place), LIGHT(light=light), *groups, *reasons))


def _person(canvas: Canvas, rng: np.random.Generator, person: str, foot: Point, tall: float, shirt: str) -> Point:
    """A person with one arm raised; returns where that hand is."""
    unit = tall / 200
    skin = pick(rng, ("#f1c9a5", "#d69f74", "#8a5635"))
    hair = pick(rng, ("#2b1b12", "#6b3f1d", "#c9963f"))
    trousers = pick(rng, ("#3c4654", "#5b4a3c", "#6a6f78"))

    def at(x: float, y: float) -> Point:
        return (foot[0] + x * unit, foot[1] - y * unit)

    canvas.ellipse(*foot, 38 * unit, 7 * unit, faded("#0c1a10", 0.35))
    legs = skin if person == "woman" else trousers
    for x in (-11, 11):
        canvas.line([at(x, 90), at(x, 6)], legs, 16 * unit)
        canvas.ellipse(*at(x + 4, 4), 13 * unit, 6 * unit, "#2a2320")
    if person == "woman":
        canvas.polygon([at(-20, 96), at(20, 96), at(36, 42), at(-36, 42)], trousers)
        canvas.polygon([at(-22, 188), at(22, 188), at(27, 136), at(-27, 136)], hair)
    canvas.line([at(-22, 138), at(-36, 110), at(-34, 84)], skin, 11 * unit, caps=True)
    canvas.line([at(-22, 138), at(-35, 112)], shirt, 15 * unit, caps=True)
    canvas.line([at(22, 138), at(40, 128), at(46, 146)], skin, 11 * unit, caps=True)
    canvas.line([at(20, 138), at(38, 128)], shirt, 15 * unit, caps=True)
    canvas.polygon([at(-27, 146), at(27, 146), at(24, 84), at(-24, 84)], shirt)
    canvas.polygon([at(10, 146), at(27, 146), at(24, 84), at(12, 84)], faded("#000000", 0.14))
    head = 22 if person != "child" else 27
    canvas.ellipse(*at(0, 172), head * unit, (head + 3) * unit, hair)
    canvas.ellipse(*at(4, 167), (head - 4) * unit, (head - 3) * unit, skin)
    for x in (-2, 11):
        canvas.ellipse(*at(x, 170), 2.6 * unit, fill="#1b1210")
    return at(46, 150)


def _hold(canvas: Canvas, rng: np.random.Generator, item: str, hand: Point, waist: Point, colour: str) -> None:
    """Put an item into a hand; a guitar hangs before the waist."""
    if item == "kite":
        kite = (hand[0] - 10, rng.uniform(76, 110))
        canvas.line([hand, (hand[0] + 10, (hand[1] + kite[1]) / 2), kite], "#f4f0e4", 1.5)
        paint(canvas, KITE, kite, 100, colour)
    elif item == "ball":
        paint(canvas, BALL, (hand[0], hand[1] - 6), 125, colour)
    elif item == "guitar":
        paint(canvas, GUITAR, waist, 112, colour)
    else:
        paint(canvas, ITEMS[item], hand, 96 if item == "umbrella" else 88, colour, -1)


def draw_people(rng: np.random.Generator, scale: int) -> Picture:
    """Two or three people side by side, each holding something."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    place = pick(rng, MEETING.choices["place"])
    light = _light(rng, place)
    paint_backdrop(canvas, rng, place, light)
    sides = _HOLDERS if rng.uniform() < 0.5 else tuple(np.delete(_HOLDERS, rng.integers(3)).tolist())
    items = sample(rng, tuple(ITEMS), len(sides))
    hidden = unseen(place, light)
    people = []
    for side, item in zip(sides, items, strict=True):
        person, shirt = pick(rng, _PEOPLE), pick(rng, tuple(COLOURS), *hidden)
        colour = pick(rng, PERSON.choices["colour"], shirt, *hidden, *(("white",) if light == LIGHTS[0] else ()))
        foot = (54 + 140 * _HOLDERS.index(side) + rng.uniform(-6, 6), rng.uniform(395, 432))
        tall = rng.uniform(200, 222) * (0.72 if person == "child" else 1)
        hand = _person(canvas, rng, person, foot, tall, COLOURS[shirt])
        _hold(canvas, rng, item, hand, (foot[0], foot[1] - tall * 0.52), COLOURS[colour])
        people.append(PERSON(side=side, person=person, shirt=shirt, colour=colour, item=item))
    paint_weather(canvas, rng, light)
    reasons = (HEADS(heads=COUNTS[len(sides) - 1]), ORDER(first=items[0], second=items[-1]))
    return Picture(photo(canvas), (MEETING(place=place), LIGHT(light=light), *people, *reasons))


def draw_animals(rng: np.random.Generator, scale: int) -> Picture:
    """Two groups of animals with a row of plants in front."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    place = pick(rng, WILDLIFE.choices["place"])
    light = _light(rng, place)
    horizon = paint_backdrop(canvas, rng, place, light)
    hidden, counts = unseen(place, light), sample(rng, DIFFERENT, 2)
    kinds = sample(rng, tuple(ANIMALS), 2)
    herds: list[Claim] = []
    for side, animal, count in zip(("left", "right"), kinds, counts, strict=True):
        left = 8 if side == "left" else SIDE / 2 + 14
        coat = pick(rng, tuple(COATS), *hidden, *(("black",) if animal == "penguin" and light == LIGHTS[2] else ()))
        box = (left, horizon - 6, left + SIDE / 2 - 22, 364)
        _crowd(canvas, rng, box, ANIMALS[animal], count, COATS[coat], 132)
        herds.append(HERD(side=side, count=COUNTS[count - 1], coat=coat, animal=animal))
    plant, growing = pick(rng, tuple(PLANTS)), int(rng.integers(1, 6))
    colour = pick(rng, PLANT.choices["colour"], *hidden)
    start, end = sorted(rng.uniform(10, 438, 2))
    reach = max(growing * 62.0, end - start)
    start = min(start, 438 - reach)
    _crowd(canvas, rng, (start, 374, start + reach, 444), PLANTS[plant], growing, COLOURS[colour], 68)
    paint_weather(canvas, rng, light)
    more, fewer = kinds if counts[0] > counts[1] else kinds[::-1]
    claims = (
        WILDLIFE(place=place),
        LIGHT(light=light),
        *herds,
        PLANT(count=COUNTS[growing - 1], colour=colour, plant=plant),
        OUTNUMBER(more=more, fewer=fewer),
        ANIMAL_SUM(total=TOTALS[sum(counts) - 3]),
    )
    return Picture(photo(canvas), claims)


def draw_aerial(rng: np.random.Generator, scale: int) -> Picture:
    """Land from straight above: a way through the middle, fields and roofs in the corners."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    land, way = pick(rng, _LANDS), pick(rng, WAY.choices["way"])
    paint_land(canvas, rng, land)
    course = pick(rng, WAY.choices["course"])
    paint_way(canvas, rng, way, course == "top to bottom")
    corners = {
        int(number): count for number, count in zip(rng.permutation(4)[:2], sample(rng, DIFFERENT, 2), strict=True)
    }
    things: list[Claim] = []
    for number, corner in enumerate(_CORNERS):
        low, high = 36, 194
        x, y = (number % 2) * 218, (number // 2) * 218
        box = (x + low, y + low, x + high, y + high)
        if number in corners:
            hidden = ("white",) if land == "a desert" else ()
            colour = pick(rng, tuple(ROOFS), *hidden)
            paint_roofs(canvas, rng, box, corners[number], ROOFS[colour])
            things.append(ROOF(corner=corner, count=COUNTS[corners[number] - 1], colour=colour))
        else:
            crop = pick(rng, tuple(CROPS))
            paint_field(canvas, rng, box, CROPS[crop])
            things.append(FIELD(corner=corner, crop=crop))
    built = _CORNERS[max(corners, key=lambda number: corners[number])]
    reasons = (BUILT(corner=built), ROOF_SUM(total=TOTALS[sum(corners.values()) - 3]))
    return Picture(photo(canvas), (AERIAL(land=land), WAY(way=way, course=course), *things, *reasons))


KINDS = (
    Kind("landscape", DOMAIN, "Scenes Object", (LANDSCAPE, LIGHT, GROUP, LARGEST, SUM), draw_landscape),
    Kind("people", DOMAIN, "Social Activity", (MEETING, LIGHT, PERSON, HEADS, ORDER), draw_people),
    Kind("animals", DOMAIN, "Animal and Plants", (WILDLIFE, LIGHT, HERD, PLANT, OUTNUMBER, ANIMAL_SUM), draw_animals),
    Kind("aerial_view", DOMAIN, "Remote Sensing", (AERIAL, WAY, FIELD, ROOF, BUILT, ROOF_SUM), draw_aerial),
)
