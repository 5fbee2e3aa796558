"""Structure & Math: a bar chart, a table, an equation, a flow diagram, each on a plain ground."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .boards import paint_ground, typeset
from .canvas import Canvas, Point, mix
from .chance import apart, pick, sample

DOMAIN = "Structure & Math"
AGENTS = ("layout", "values", "reading")


COLOURS = {
    "red": "#d9403f",
    "orange": "#f28c28",
    "yellow": "#f2cf2f",
    "green": "#3fa34d",
    "blue": "#3b7dd8",
    "purple": "#8a4fc4",
    "grey": "#8a929c",
}
PAPERS = ("#ffffff", "#fbfaf4", "#f3f7fb", "#f4f8f2", "#fdf5ee", "#f6f2fa", "#eceff2")
INK = "#1b2430"

CHART_TITLES = (
    "Sales", "Visitors", "Rainfall", "Books sold", "Steps", "Goals",
    "Tickets", "Bikes rented", "Emails", "Cakes baked", "Profit", "Letters",
)  # fmt: skip
LABEL_FAMILIES = (
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    ("Rome", "Oslo", "Paris", "Cairo", "Lima", "Delhi"),
)
LABELS = tuple(label for family in LABEL_FAMILIES for label in family)
BAR_VALUES = tuple(str(value) for value in range(10, 100, 5))

CHART = Statement("chart", "layout", "bar chart {title}", "A bar chart is titled {title}.", {"title": CHART_TITLES})
BARS = Statement(
    "bars",
    "layout",
    "{colour} bars {pose}",
    "Its {colour} bars {pose}.",
    {"colour": tuple(COLOURS), "pose": ("stand upright", "lie flat")},
)
BAR = Statement(
    "bar",
    "values",
    "{label} {value}",
    "{label} reaches {value}.",
    {"label": LABELS, "value": BAR_VALUES},
    key=("label",),
)
HIGHEST = Statement("highest", "reading", "highest {label}", "The highest value is that of {label}.", {"label": LABELS})
LOWEST = Statement("lowest", "reading", "lowest {label}", "The lowest value is that of {label}.", {"label": LABELS})

TOPICS = {
    "player": ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo"),
    "city": ("Rome", "Oslo", "Paris", "Cairo", "Lima", "Delhi", "Berlin", "Tokyo"),
    "fruit": ("Apple", "Pear", "Mango", "Kiwi", "Lemon", "Cherry", "Banana", "Plum"),
    "animal": ("Horse", "Sheep", "Goat", "Duck", "Rabbit", "Tiger", "Zebra", "Fox"),
}
NAMES = tuple(name for names in TOPICS.values() for name in names)
MEASURES = ("points", "votes", "visits", "orders", "photos", "prizes")
CELL_VALUES = tuple(str(value) for value in range(5, 61))

TABLE = Statement(
    "table",
    "layout",
    "table of {measure} by {topic}",
    "A table lists {measure} by {topic}.",
    {"measure": MEASURES, "topic": tuple(TOPICS)},
)
HEADER = Statement("header", "layout", "{colour} header", "Its header row is {colour}.", {"colour": tuple(COLOURS)})
ROW = Statement(
    "row", "values", "{name} {number}", "{name} has {number}.", {"name": NAMES, "number": CELL_VALUES}, key=("name",)
)
MOST = Statement("most", "reading", "most: {name}", "{name} has the most.", {"name": NAMES})
FEWEST = Statement("fewest", "reading", "fewest: {name}", "{name} has the fewest.", {"name": NAMES})

CHALK = {"white": "#f4f4ee", "yellow": "#ffe45c", "pink": "#ff9ec4"}
PEN = {"black": "#1a1a1a", "blue": "#1d4fc4", "red": "#cf2a2a", "green": "#1f8a3b"}
GROUNDS = ("a green chalkboard", "a black chalkboard", "a whiteboard", "squared paper", "lined paper", "yellow paper")
MARKS = ("underlined", "framed", "circled")
FACTORS, OFFSETS, SOLUTIONS = range(2, 5), range(1, 7), range(2, 7)

EQUATION = Statement(
    "equation", "layout", "equation on {ground}", "An equation is written on {ground}.", {"ground": GROUNDS}
)
WRITING = Statement(
    "writing",
    "layout",
    "{ink} and {mark}",
    "It is {ink} and {mark}.",
    {"ink": (*CHALK, *PEN), "mark": MARKS},
)
TERM = Statement(
    "term",
    "values",
    "{factor} times {letter}",
    "The unknown {letter} is multiplied by {factor}.",
    {"factor": tuple(map(str, FACTORS)), "letter": ("x", "y", "n", "a", "k")},
)
OFFSET = Statement(
    "offset",
    "values",
    "{number} {action}",
    "The number {number} is {action}.",
    {"number": tuple(map(str, OFFSETS)), "action": ("added", "subtracted")},
)
RESULT = Statement(
    "result",
    "values",
    "result {number}",
    "The result is {number}.",
    {"number": tuple(str(value) for value in range(1, 31))},
)
SOLUTION = Statement(
    "solution",
    "reading",
    "solution {number}",
    "So the unknown is {number}.",
    {"number": tuple(map(str, SOLUTIONS))},
)

WORDS = (
    "Plan", "Draw", "Build", "Test", "Sell", "Buy", "Wash", "Cut", "Mix", "Bake", "Cool", "Pack",
    "Load", "Ship", "Read", "Write", "Print", "Send", "Sort", "Count", "Save", "Share", "Check", "Move",
)  # fmt: skip
SHAPES = ("box", "oval", "diamond", "hexagon")
COLUMN = {3: ("top", "middle", "bottom"), 4: ("top", "upper", "lower", "bottom")}
LINE = ("left", "middle", "right")

FLOW = Statement(
    "flow",
    "layout",
    "flow diagram {direction}",
    "A flow diagram runs {direction}.",
    {"direction": ("downwards", "upwards", "to the right", "to the left")},
)
STEPS = Statement("steps", "layout", "{count} steps", "It has {count} steps.", {"count": ("three", "four")})
STEP = Statement(
    "step",
    "values",
    "{place}: {colour} {shape} {word}",
    "The {place} step is {colour} and its {shape} says {word}.",
    {
        "place": ("top", "upper", "lower", "bottom", "left", "middle", "right"),
        "colour": tuple(COLOURS),
        "shape": SHAPES,
        "word": WORDS,
    },
    key=("place",),
)
BEGIN = Statement("begin", "reading", "begins with {word}", "The flow begins with {word}.", {"word": WORDS})
END = Statement("end", "reading", "ends with {word}", "The flow ends with {word}.", {"word": WORDS})


def _extremes(names: Sequence[str], numbers: Sequence[int]) -> tuple[str, str]:
    """The names of the largest and of the smallest number."""
    ranked = sorted(zip(numbers, names, strict=True))
    return ranked[-1][1], ranked[0][1]


def _draw_chart(rng: np.random.Generator, scale: int) -> Picture:
    family, count = pick(rng, LABEL_FAMILIES), int(rng.integers(3, 5))
    labels = [family[place] for place in sorted(rng.permutation(len(family))[:count])]
    values = apart(rng, range(10, 100, 5), count, 10)
    title, colour, upright = pick(rng, CHART_TITLES), pick(rng, tuple(COLOURS)), bool(rng.random() < 0.6)
    paper = pick(rng, PAPERS)
    canvas = Canvas(SIDE, SIDE, paper, scale)
    top = rng.uniform(22, 36)
    middle = bool(rng.random() < 0.5)
    canvas.text(224 if middle else 30, top, title, int(rng.integers(36, 44)), INK, anchor="ma" if middle else "la")
    size = int(rng.integers(30, 34))
    (_columns if upright else _beams)(canvas, rng, labels, values, COLOURS[colour], top, size)
    highest, lowest = _extremes(labels, values)
    bars = (BAR(label=label, value=str(value)) for label, value in zip(labels, values, strict=True))
    pose = BARS(colour=colour, pose="stand upright" if upright else "lie flat")
    return Picture(canvas.finish(), (CHART(title=title), pose, *bars, HIGHEST(label=highest), LOWEST(label=lowest)))


def _bar(canvas: Canvas, box: tuple[float, float, float, float], colour: str, flat: bool) -> None:
    """One bar, lit from one side."""
    stops = [(0.0, mix(colour, "#ffffff", 0.16)), (1.0, mix(colour, "#000000", 0.1))]
    canvas.gradient(box, stops, horizontal=not flat)
    canvas.rect(box, None, mix(colour, "#000000", 0.35), 1.5)


def _columns(
    canvas: Canvas,
    rng: np.random.Generator,
    labels: Sequence[str],
    values: Sequence[int],
    colour: str,
    top: float,
    size: int,
) -> None:
    """Upright bars with their values on top and their labels below."""
    left, right, floor = rng.uniform(24, 50), rng.uniform(405, 428), rng.uniform(362, 388)
    high = floor - top - 92
    for share in np.linspace(0, 1, int(rng.integers(4, 7)))[1:]:
        canvas.line([(left, floor - high * share), (right, floor - high * share)], "#cfd6de", 1)
    slot = (right - left) / len(values)
    half = slot * rng.uniform(0.26, 0.36)
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, y = left + slot * (number + 0.5), floor - high * value / 100
        _bar(canvas, (x - half, y, x + half, floor), colour, False)
        canvas.text(x, y - 5, str(value), size, INK, anchor="ms")
        canvas.text(x, floor + 8, label, size, INK, anchor="ma")
    canvas.line([(left, floor - high), (left, floor), (right, floor)], "#3a4452", 2.5)


def _beams(
    canvas: Canvas,
    rng: np.random.Generator,
    labels: Sequence[str],
    values: Sequence[int],
    colour: str,
    top: float,
    size: int,
) -> None:
    """Bars that lie flat, with their labels at the left and their values at their ends."""
    left, ceiling, floor = rng.uniform(108, 126), top + rng.uniform(62, 76), rng.uniform(400, 426)
    wide = rng.uniform(240, 262)
    for share in np.linspace(0, 1, int(rng.integers(4, 7)))[1:]:
        canvas.line([(left + wide * share, ceiling), (left + wide * share, floor)], "#cfd6de", 1)
    slot = (floor - ceiling) / len(values)
    half = slot * rng.uniform(0.24, 0.33)
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        y, x = ceiling + slot * (number + 0.5), left + wide * value / 100
        _bar(canvas, (left, y - half, x, y + half), colour, True)
        canvas.text(x + 8, y, str(value), size, INK, anchor="lm")
        canvas.text(left - 10, y, label, size, INK, anchor="rm")
    canvas.line([(left, ceiling), (left, floor)], "#3a4452", 2.5)


def _draw_table(rng: np.random.Generator, scale: int) -> Picture:
    topic, measure, colour = pick(rng, tuple(TOPICS)), pick(rng, MEASURES), pick(rng, tuple(COLOURS))
    count = int(rng.integers(3, 5))
    names, numbers = sample(rng, TOPICS[topic], count), apart(rng, range(5, 61), count, 3)
    canvas = Canvas(SIDE, SIDE, pick(rng, PAPERS), scale)
    high, wide = rng.uniform(62, 76), rng.uniform(340, 400)
    x0 = rng.uniform(20, SIDE - 20 - wide)
    y0 = rng.uniform(24, SIDE - 24 - high * (count + 1))
    x1, split, size = x0 + wide, x0 + wide * rng.uniform(0.5, 0.56), int(rng.integers(32, 38))
    stripe, line = mix(COLOURS[colour], "#ffffff", 0.82), mix(COLOURS[colour], "#444444", 0.5)
    ink = INK if colour in ("yellow", "orange") else "#ffffff"
    lean = bool(rng.random() < 0.5)
    rows = [(topic.capitalize(), measure.capitalize()), *zip(names, map(str, numbers), strict=True)]
    for number, (name, value) in enumerate(rows):
        y = y0 + high * number
        fill = COLOURS[colour] if number == 0 else stripe if number % 2 == 0 else "#ffffff"
        canvas.rect((x0, y, x1, y + high), fill)
        at = x0 + 16 if lean else (x0 + split) / 2
        canvas.text(at, y + high / 2, name, size, INK if number else ink, anchor="lm" if lean else "mm")
        canvas.text((split + x1) / 2, y + high / 2, value, size, INK if number else ink, anchor="mm")
        canvas.line([(x0, y + high), (x1, y + high)], line, 1.5)
    canvas.line([(split, y0), (split, y0 + high * (count + 1))], line, 1.5)
    canvas.rect((x0, y0, x1, y0 + high * (count + 1)), None, line, 2.5)
    most, fewest = _extremes(names, numbers)
    cells = (ROW(name=name, number=str(number)) for name, number in zip(names, numbers, strict=True))
    first = (TABLE(measure=measure, topic=topic), HEADER(colour=colour))
    return Picture(canvas.finish(), (*first, *cells, MOST(name=most), FEWEST(name=fewest)))


def _draw_equation(rng: np.random.Generator, scale: int) -> Picture:
    ground, mark = pick(rng, GROUNDS), pick(rng, MARKS)
    inks = CHALK if "chalk" in ground else PEN
    ink, letter = pick(rng, tuple(inks)), pick(rng, TERM.choices["letter"])
    while True:
        factor, offset, solution = pick(rng, FACTORS), pick(rng, OFFSETS), pick(rng, SOLUTIONS)
        plus = bool(rng.random() < 0.5)
        result = factor * solution + (offset if plus else -offset)
        if result >= 1:
            break
    canvas = paint_ground(rng, ground, scale)
    size = int(rng.integers(50, 59))
    left = [f"{factor}{letter}", "+" if plus else "-", str(offset)]
    signs = [*left, "=", str(result)] if rng.random() < 0.75 else [str(result), "=", *left]
    wide = sum(size * 0.55 if sign == "-" else canvas.text_width(sign, size) for sign in signs) + size * 0.27 * 4
    x, y = rng.uniform(64, max(SIDE - 64 - wide, 65)), rng.uniform(185, 320)
    typeset(canvas, x, y, signs, size, inks[ink])
    half, middle = wide / 2, x + wide / 2
    pen = rng.uniform(4, 5.5)
    if mark == "underlined":
        canvas.line([(x, y + size * 0.72), (x + wide, y + size * 0.72)], inks[ink], pen)
    elif mark == "framed":
        canvas.rect((x - 20, y - size * 0.85, x + wide + 20, y + size * 0.85), None, inks[ink], pen)
    else:
        canvas.ellipse(middle, y, min(half + 32, middle - 28, SIDE - 28 - middle), size * 1.25, None,
                       outline=inks[ink], width=pen)  # fmt: skip
    heading = pick(rng, ("Solve", "Find the unknown", "Exercise", ""))
    canvas.text(rng.uniform(40, 110), rng.uniform(38, 66), heading, int(rng.integers(28, 33)), inks[ink])
    claims: tuple[Claim, ...] = (
        EQUATION(ground=ground),
        WRITING(ink=ink, mark=mark),
        TERM(factor=str(factor), letter=letter),
        OFFSET(number=str(offset), action="added" if plus else "subtracted"),
        RESULT(number=str(result)),
        SOLUTION(number=str(solution)),
    )
    return Picture(canvas.finish(), claims)


def _box(canvas: Canvas, at: Point, reach: Point, shape: str, colour: str) -> None:
    """One step's outline around `at`, `reach` being half its width and height."""
    (x, y), (rx, ry) = at, reach
    fill, edge = mix(colour, "#ffffff", 0.22), mix(colour, "#000000", 0.4)
    if shape == "box":
        canvas.rect((x - rx, y - ry, x + rx, y + ry), fill, edge, 3)
    elif shape == "oval":
        canvas.ellipse(x, y, rx, ry, fill, outline=edge, width=3)
    else:
        cut = rx if shape == "diamond" else min(rx * 0.4, ry)
        ring = [(x - rx, y), (x - rx + cut, y - ry), (x + rx - cut, y - ry)]
        ring += [(x + rx, y), (x + rx - cut, y + ry), (x - rx + cut, y + ry)]
        canvas.polygon(ring, fill, edge, 3)


def _draw_flow(rng: np.random.Generator, scale: int) -> Picture:
    down, forward = bool(rng.random() < 0.6), bool(rng.random() < 0.6)
    count = int(rng.integers(3, 5)) if down else 3
    places = COLUMN[count] if down else LINE
    words, shapes = sample(rng, WORDS, count), [pick(rng, SHAPES) for _ in range(count)]
    colours = sample(rng, tuple(COLOURS), count)
    canvas = Canvas(SIDE, SIDE, pick(rng, PAPERS), scale)
    if rng.random() < 0.4:
        for x in range(14, SIDE, 32):
            for y in range(14, SIDE, 32):
                canvas.rect((x, y, x + 2, y + 2), "#c3ccd6")
    gap, size = rng.uniform(36, 42), int(rng.integers(30, 33))
    span = (SIDE - 28 - gap * (count - 1)) / count
    reach = (rng.uniform(90, 120), span / 2) if down else (span / 2, rng.uniform(48, 62))
    across = rng.uniform(130, SIDE - 130)
    spots = [(across, 14 + span * (n + 0.5) + gap * n) for n in range(count)]
    spots = spots if down else [(y, x) for x, y in spots]
    for (x0, y0), (x1, y1) in pairwise(spots):
        share_x, share_y = (0.0, reach[1]) if down else (reach[0], 0.0)
        ends = [(x0 + share_x, y0 + share_y), (x1 - share_x, y1 - share_y)]
        canvas.arrow(ends if forward else ends[::-1], INK, 6, 26)
    for spot, shape, colour, word in zip(spots, shapes, colours, words, strict=True):
        _box(canvas, spot, reach, shape, COLOURS[colour])
        canvas.text(*spot, word, size, "#111111", anchor="mm")
    direction = ("downwards" if forward else "upwards") if down else ("to the right" if forward else "to the left")
    steps = (
        STEP(place=place, colour=colour, shape=shape, word=word)
        for place, colour, shape, word in zip(places, colours, shapes, words, strict=True)
    )
    first, last = (words[0], words[-1]) if forward else (words[-1], words[0])
    start = (FLOW(direction=direction), STEPS(count="three" if count == 3 else "four"))
    return Picture(canvas.finish(), (*start, *steps, BEGIN(word=first), END(word=last)))


KINDS: tuple[Kind, ...] = (
    Kind("bar_chart", DOMAIN, "Chart", (CHART, BARS, BAR, HIGHEST, LOWEST), _draw_chart),
    Kind("table", DOMAIN, "Table", (TABLE, HEADER, ROW, MOST, FEWEST), _draw_table),
    Kind("equation", DOMAIN, "Equation", (EQUATION, WRITING, TERM, OFFSET, RESULT, SOLUTION), _draw_equation),
    Kind("flow_diagram", DOMAIN, "Diagram", (FLOW, STEPS, STEP, BEGIN, END), _draw_flow),
)
