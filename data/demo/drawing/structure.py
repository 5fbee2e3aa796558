"""Structure & Math: a bar chart, a table, a right triangle, a formula, a flow chart."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Canvas, Point, ellipse_points, mix, pts
from .registry import Picture, picture


@picture("structure_math", "bar_chart.png")
def bar_chart(rng: np.random.Generator) -> Picture:
    """A bar chart of six monthly values with a value axis, grid lines and the values above the bars."""
    canvas = Canvas(640, 480)
    values = {"Jan": 120, "Feb": 95, "Mar": 160, "Apr": 210, "May": 185, "Jun": 240}
    left, top, right, floor, highest = 84, 84, 616, 404, 250
    canvas.text(320, 22, "Books sold per month", 26, "#1f2a3a", anchor="ma", bold=True)
    canvas.text(320, 54, "City bookshop, first half of 2024", 15, "#6b7685", anchor="ma")
    for value in range(0, highest + 1, 50):
        y = floor - (floor - top) * value / highest
        canvas.line([(left, y), (right, y)], "#d9dee5", 1)
        canvas.text(left - 10, y, str(value), 15, "#4b5563", anchor="rm")
    slot = (right - left) / len(values)
    for number, (month, value) in enumerate(values.items()):
        x, y = left + slot * (number + 0.5), floor - (floor - top) * value / highest
        colour = "#e4572e" if value == max(values.values()) else "#3b7dd8"
        canvas.rect((x - 28, y, x + 28, floor), colour)
        canvas.text(x, y - 6, str(value), 17, "#1f2a3a", anchor="mb", bold=True)
        canvas.text(x, floor + 10, month, 17, "#1f2a3a", anchor="ma")
    canvas.line([(left, top - 8), (left, floor), (right, floor)], "#2d3748", 2)
    canvas.text((left + right) / 2, 446, "Month", 16, "#4b5563", anchor="ma")
    canvas.slanted(24, (top + floor) / 2, "Number of books", 16, "#4b5563", anchor="mm", turn=-90)
    return canvas.finish(), (
        "A bar chart titled 'Books sold per month': January 120, February 95, March 160, April 210, May 185 and "
        "June 240. February is the lowest and June, drawn in orange, the highest."
    )


@picture("structure_math", "table.png")
def table(rng: np.random.Generator) -> Picture:
    """A table of the heights of five seedlings over four weeks, with their growth."""
    canvas = Canvas(704, 448)
    head = ["Plant", "Week 1", "Week 2", "Week 3", "Week 4", "Growth"]
    rows = [
        ["Bean", "4", "11", "19", "28", "+24"],
        ["Sunflower", "3", "9", "20", "34", "+31"],
        ["Tomato", "5", "8", "13", "18", "+13"],
        ["Basil", "2", "4", "7", "9", "+7"],
        ["Pea", "4", "10", "16", "23", "+19"],
    ]
    edges = [32, 178, 278, 378, 478, 578, 672]
    canvas.text(352, 26, "Table 2. Height of the seedlings (cm)", 24, "#1f2a3a", anchor="ma", bold=True)
    for number, row in enumerate([head, *rows]):
        y0, y1 = 80 + number * 54, 134 + number * 54
        canvas.rect(
            (edges[0], y0, edges[-1], y1), "#2f5d50" if number == 0 else ("#eef4f1" if number % 2 else "#ffffff")
        )
        for column, cell in enumerate(row):
            x = edges[0] + 16 if column == 0 else (edges[column] + edges[column + 1]) / 2
            ink = "#ffffff" if number == 0 else "#1b6b45" if column == 5 else "#222222"
            canvas.text(
                x,
                (y0 + y1) / 2,
                cell,
                19,
                ink,
                anchor="lm" if column == 0 else "mm",
                bold=number == 0 or column in (0, 5),
            )
    for number in range(len(rows) + 2):
        canvas.line([(edges[0], 80 + number * 54), (edges[-1], 80 + number * 54)], "#9fb3aa", 1.3)
    for x in edges:
        canvas.line([(x, 80), (x, 80 + 54 * (len(rows) + 1))], "#9fb3aa", 1.3)
    canvas.text(32, 416, "Measured every Monday; Growth = Week 4 - Week 1.", 14, "#6b7685")
    return canvas.finish(), (
        "A table of the heights in centimetres of five seedlings (bean, sunflower, tomato, basil, pea) over four "
        "weeks, with the growth in a last column. The sunflower grew most, from 3 to 34 cm, the basil least, from "
        "2 to 9 cm."
    )


@picture("structure_math", "right_triangle.png")
def right_triangle(rng: np.random.Generator) -> Picture:
    """A right triangle of sides 6, 8 and 10 cm with its corners, angle and right-angle mark."""
    canvas = Canvas(576, 512)
    for at in range(0, 577, 24):
        canvas.line([(at, 0), (at, 512)], "#e6eef6", 1)
        canvas.line([(0, at), (576, at)], "#e6eef6", 1)
    a, b, c = (96.0, 408.0), (480.0, 408.0), (480.0, 120.0)
    canvas.polygon([a, b, c], "#cfe3fb", "#1d4f91", 3.5)
    canvas.line([(b[0] - 26, b[1]), (b[0] - 26, b[1] - 26), (b[0], b[1] - 26)], "#1d4f91", 2.2)
    wedge = ellipse_points(a, (70, 70), arc=(-math.degrees(math.atan2(288, 384)), 0), steps=30)
    canvas.polygon([a, *wedge], "#f8c7a5")
    canvas.line(wedge, "#c8551b", 2.2)
    canvas.line([a, b], "#1d4f91", 3.5)
    canvas.line([a, c], "#1d4f91", 3.5)
    for (x, y), name, anchor in ((a, "A", "rt"), (b, "C", "lt"), (c, "B", "lb")):
        canvas.ellipse(x, y, 5, fill="#1d4f91")
        dx, dy = (-10 if anchor[0] == "r" else 10), (8 if anchor[1] == "t" else -6)
        canvas.slanted(x + dx, y + dy, name, 27, "#12233b", anchor=anchor, italic=True)
    canvas.text(176, 384, "36.9°", 19, "#a8430f", anchor="ls")
    canvas.text(288, 424, "8 cm", 24, "#12233b", anchor="ma")
    canvas.text(494, 264, "6 cm", 24, "#12233b", anchor="lm")
    canvas.slanted(274, 242, "10 cm", 24, "#12233b", anchor="mm", turn=-36.87)
    canvas.text(36, 34, "Right triangle ABC", 25, "#12233b", bold=True)
    return canvas.finish(), (
        "A right triangle ABC on squared paper with the right angle at C: AC is 8 cm, BC is 6 cm and the "
        "hypotenuse AB is 10 cm. The angle at A is marked as 36.9 degrees."
    )


def _typeset(canvas: Canvas, x: float, base: float, formula: str, size: float, ink: str = "#111111") -> float:
    """Set a formula from x on and return where it ends: letters italic, ^ raises the next sign, - is a minus."""
    raised = False
    for sign in formula:
        if sign == "^":
            raised = True
        elif sign == "-":
            canvas.line(
                [(x + size * 0.08, base - size * 0.27), (x + size * 0.6, base - size * 0.27)], ink, size * 0.055
            )
            x += size * 0.68
        else:
            small = size * 0.62 if raised else size
            y = base - size * 0.42 if raised else base
            canvas.slanted(x, y, sign, small, ink, anchor="ls", italic=sign.isalpha())
            x += canvas.text_width(sign, small) + size * 0.03
            raised = False
    return x


def _root(canvas: Canvas, x: float, base: float, end: float, size: float) -> None:
    """A square root sign from x whose bar reaches `end`."""
    top = base - size * 1.02
    hook: list[Point] = [
        (x, base - size * 0.32),
        (x + size * 0.12, base - size * 0.4),
        (x + size * 0.3, base + size * 0.14),
    ]
    canvas.line(hook[:2], "#111111", size * 0.05)
    canvas.line(hook[1:], "#111111", size * 0.09)
    canvas.line([hook[2], (x + size * 0.5, top), (end, top)], "#111111", size * 0.055)


@picture("structure_math", "formula.png")
def formula(rng: np.random.Generator) -> Picture:
    """The quadratic formula typeset as in a textbook, with one worked example."""
    canvas = Canvas(704, 448, "#fdfcf8")
    canvas.text(40, 32, "The quadratic formula", 26, "#1f2a3a", bold=True)
    start = 40 + canvas.text_width("The solutions of", 20)
    canvas.text(40, 104, "The solutions of", 20, "#333333", anchor="ls")
    end = _typeset(canvas, start + 12, 104, "ax^2 + bx + c = 0", 23)
    canvas.text(end + 12, 104, "are", 20, "#333333", anchor="ls")
    size = 50
    after = _typeset(canvas, 96, 222, "x = ", size)
    root = _typeset(canvas, after + 14, 196, "-b ± ", size)
    finish = _typeset(canvas, root + size * 0.52, 196, "b^2 - 4ac", size)
    _root(canvas, root, 196, finish + 4, size)
    canvas.line([(after, 215), (finish + 12, 215)], "#111111", 2.8)
    middle = (after + finish + 12) / 2
    _typeset(canvas, middle - 26, 270, "2a", size)
    canvas.line([(40, 312), (664, 312)], "#c9c4b5", 1.2)
    canvas.text(40, 350, "Example:", 20, "#8a3b12", anchor="ls", bold=True)
    _typeset(canvas, 148, 350, "x^2 - 5x + 6 = 0", 25)
    end = _typeset(canvas, 148, 402, "x = (5 ± 1) / 2", 25)
    canvas.text(end + 18, 402, "so", 20, "#333333", anchor="ls")
    end = _typeset(canvas, end + 58, 402, "x = 2", 25)
    canvas.text(end + 14, 402, "or", 20, "#333333", anchor="ls")
    _typeset(canvas, end + 50, 402, "x = 3", 25)
    return canvas.finish(), (
        "The quadratic formula, x = (-b ± sqrt(b^2 - 4ac)) / 2a, typeset as the solution of ax^2 + bx + c = 0. "
        "Below it, the example x^2 - 5x + 6 = 0 is solved: x = 2 or x = 3."
    )


def _step(canvas: Canvas, x: float, y: float, label: str, kind: str) -> None:
    """One symbol of a flow chart around (x, y): terminal, input, decision or process."""
    colour = {"terminal": "#f6b26b", "input": "#a7c7f2", "decision": "#f7dc6f", "process": "#a9dfbf"}[kind]
    edge = mix(colour, "#000000", 0.5)
    if kind == "terminal":
        canvas.rect((x - 68, y - 24, x + 68, y + 24), colour, edge, 2, radius=24)
    elif kind == "decision":
        canvas.polygon(pts("0,-54 96,0 0,54 -96,0", (x, y)), colour, edge, 2)
    elif kind == "input":
        canvas.polygon(pts("-80,-26 104,-26 80,26 -104,26", (x, y)), colour, edge, 2)
    else:
        canvas.rect((x - 92, y - 26, x + 92, y + 26), colour, edge, 2)
    canvas.text(x, y, label, 18, "#1d1d1d", anchor="mm")


@picture("structure_math", "flow_chart.png")
def flow_chart(rng: np.random.Generator) -> Picture:
    """A flow chart that tells even numbers from odd ones."""
    canvas, ink = Canvas(640, 640), "#3a3f47"
    canvas.text(320, 22, "Even or odd?", 25, "#1f2a3a", anchor="ma", bold=True)
    canvas.arrow([(320, 110), (320, 154)], ink, 2.4, 11)
    canvas.arrow([(320, 208), (320, 250)], ink, 2.4, 11)
    canvas.arrow([(224, 306), (136, 306), (136, 402)], ink, 2.4, 11)
    canvas.arrow([(416, 306), (504, 306), (504, 402)], ink, 2.4, 11)
    canvas.line([(136, 456), (136, 570), (240, 570)], ink, 2.4)
    canvas.arrow([(136, 570), (250, 570)], ink, 2.4, 11)
    canvas.arrow([(504, 456), (504, 570), (390, 570)], ink, 2.4, 11)
    canvas.text(180, 296, "yes", 18, "#1b6b45", anchor="ms", bold=True)
    canvas.text(460, 296, "no", 18, "#a32626", anchor="ms", bold=True)
    for x, y, label, kind in (
        (320, 86, "Start", "terminal"),
        (320, 182, "Read number n", "input"),
        (320, 306, "n mod 2 = 0 ?", "decision"),
        (136, 430, 'Print "even"', "process"),
        (504, 430, 'Print "odd"', "process"),
        (320, 570, "End", "terminal"),
    ):
        _step(canvas, x, y, label, kind)
    return canvas.finish(), (
        "A flow chart titled 'Even or odd?': Start, read number n, then the decision 'n mod 2 = 0?'. Yes leads to "
        'printing "even", no to printing "odd"; both branches lead to End.'
    )
