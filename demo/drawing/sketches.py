"""Sketches of things, animals and plants in words, and what paints them.

A sketch is made of shapes one over another; x runs from -50 to 50, y upwards from the ground; `body` is the colour that
a claim names, `dark` and `light` are shades of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .canvas import Canvas, Point, mix, pts, smooth

BLACK = "#202328"
"""What `body` is where a claim says black: its shade is paler then."""

CAR = """poly body -50,9 -50,24 -40,29 -26,43 8,43 25,29 46,25 50,18 50,9; poly dark -50,9 -50,15 50,15 50,9;
poly #cfe3f0 -35,29 -23,40 -8,40 -8,29; poly #cfe3f0 -4,29 -4,40 7,40 19,29; oval #15171a -27,10 10,10;
oval #15171a 28,10 10,10; oval #aeb4bb -27,10 5,5; oval #aeb4bb 28,10 5,5"""
TRUCK = """poly body -50,14 -50,60 14,60 14,14; poly dark -50,10 -50,16 50,16 50,10;
poly body 18,14 18,48 36,48 50,32 50,14; poly #cfe3f0 24,33 24,44 34,44 43,33; line dark 2 -28,18 -28,58;
line dark 2 -6,18 -6,58; oval #15171a -32,10 10,10; oval #15171a 32,10 10,10; oval #aeb4bb -32,10 5,5;
oval #aeb4bb 32,10 5,5"""
HOUSE = """poly body -40,0 -40,48 40,48 40,0; poly #4a3a38 -50,46 -22,84 22,84 50,46;
poly #6b5a55 20,72 20,96 32,96 32,66; poly #5a3a22 -8,0 -8,30 8,30 8,0; poly #dcecf5 -32,16 -32,36 -16,36 -16,16;
poly #dcecf5 16,16 16,36 32,36 32,16; line #4a3a38 2 -24,16 -24,36; line #4a3a38 2 24,16 24,36"""
TREE = """line #5e3f24 9 0,0 0,50; oval dark 4,66 38,34; oval body -14,62 24,22; oval body 12,74 26,24;
oval body -6,84 24,20; oval light -16,80 12,9"""
SAILBOAT = """poly #6b4526 -46,14 46,14 32,0 -34,0; line #4d3320 3 0,12 0,102; poly body 4,20 4,100 44,20;
poly dark -4,22 -4,92 -36,22"""
SHIP = """poly body -50,26 50,28 40,0 -40,0; poly #f4f4f0 -30,26 -30,42 26,42 26,26;
poly #f4f4f0 -18,42 -18,54 12,54 12,42; poly #3a3f47 -10,54 -10,74 4,74 4,54; oval #3a6a94 -20,34 4,4;
oval #3a6a94 -4,34 4,4; oval #3a6a94 12,34 4,4"""
TENT = "poly body -48,0 0,66 48,0; poly dark 0,66 48,0 22,0; poly #2a2420 -14,0 0,42 12,0; line #4a3a30 2 0,64 0,74"
PARASOL = """line #f3efe6 5 0,0 0,60; poly body -50,48 -40,70 -20,86 0,92 20,86 40,70 50,48;
poly light -18,48 -10,76 0,91 10,76 18,48; line dark 3 -50,48 50,48; oval dark 0,93 3,4"""
BALLOON = """oval body 0,84 46,46; poly body -42,66 -12,26 12,26 42,66; oval light -16,92 12,26;
oval dark 30,82 8,26; line #5b4630 2 -10,26 -8,14; line #5b4630 2 10,26 8,14; poly #8a5a2c -11,0 -11,15 11,15 11,0"""
HORSE = """line dark 7 -26,40 -28,2; line dark 7 17,40 14,2;
blob body -40,58 -20,64 10,60 28,66 32,48 20,36 -10,36 -36,38; line body 8 -34,44 -37,2; line body 8 24,44 27,2;
poly body 12,54 28,90 40,88 35,48; poly body 27,92 33,99 37,93 52,76 47,69 34,79; line dark 6 11,62 19,82 30,96;
line dark 6 -40,58 -48,44 -46,22; oval #0b0b0b 38,87 2,2"""
RABBIT = """oval light -40,24 10,10; oval body -6,27 34,27; oval dark -16,9 18,8; oval dark 18,5 16,6;
oval body 17,78 6,23; oval body 30,78 6,23; oval light 30,80 3,16; oval body 25,50 20,17; oval #0b0b0b 32,54 3,3;
oval #d9768a 44,48 3,3"""
TURTLE = """oval #5f7a34 -24,7 9,9; oval #5f7a34 22,7 9,9; oval #5f7a34 42,26 12,10; line #5f7a34 9 28,16 40,24;
blob body -42,12 -36,34 -16,50 6,50 26,38 36,12; line dark 3 -30,40 -18,14; line dark 3 -4,50 -2,14;
line dark 3 20,42 14,14; line dark 5 -42,12 36,12; oval #0b0b0b 46,29 2,2"""
DUCK = """line #e8801c 4 -6,12 -6,0 4,0; line #e8801c 4 8,12 8,0 18,0;
blob body -50,42 -34,20 -10,9 20,12 33,30 20,42 -16,36; poly body 10,34 18,66 36,62 33,30; oval body 27,64 15,14;
poly #f0901e 38,69 58,60 38,57; oval dark -8,27 20,8; oval #0b0b0b 31,68 3,3"""
ELEPHANT = """line dark 13 -24,34 -24,4; line dark 13 14,34 14,4; oval body -8,50 36,27; line body 14 -34,40 -34,5;
line body 14 22,40 22,5; oval body 28,58 18,20; line body 10 40,54 47,36 45,14; line #fffbe8 4 36,44 48,44;
oval dark 18,58 12,19; line dark 3 -43,58 -48,34; oval #0b0b0b 34,64 2,2"""
GIRAFFE = """line dark 6 -16,58 -18,2; line dark 6 12,58 10,2; oval body -5,66 27,15; line body 7 -25,62 -27,2;
line body 7 18,62 19,2; line body 11 16,70 32,132; oval body 38,134 14,8; line dark 3 30,138 28,150;
line dark 3 36,138 36,150; oval dark -16,70 6,5; oval dark -2,64 6,5; oval dark 10,72 5,5; oval dark 20,92 3,5;
oval dark 27,114 3,5; line dark 3 -31,68 -36,44; oval #0b0b0b 42,136 2,2"""
SNAIL = """poly #d8b98a -50,0 -40,10 30,12 34,32 48,32 48,6 42,0; line #d8b98a 3 36,30 32,48;
line #d8b98a 3 44,30 48,48; oval body -6,36 31,29; oval dark -6,35 20,19; oval body -6,35 15,14;
oval dark -6,35 7,6"""
PENGUIN = """oval #f0941e -10,3 12,4; oval #f0941e 12,3 12,4; oval dark -24,48 7,26; oval body 0,46 25,44;
oval body 0,90 17,16; oval #fdfdfd 5,40 15,32; poly #f0941e 14,94 32,88 14,84; oval dark 25,48 6,24;
oval #fdfdfd 7,94 4,4; oval #0b0b0b 8,94 2,2"""
FLOWER = """line #2f7a2c 6 0,0 0,60; poly #3f9a38 2,10 26,34 10,6; oval body 0,92 20,16; oval body -24,74 20,16;
oval body 24,74 20,16; oval body -15,52 18,15; oval body 15,52 18,15; oval #5b3a10 0,72 12,11"""
TULIP = """line #2f7a2c 7 0,0 0,50; blob #3f9a38 0,4 -18,24 -26,52 -8,28; blob #3f9a38 0,4 18,24 26,52 8,28;
poly body -26,100 -13,78 0,104 13,78 26,100 24,60 12,46 -12,46 -24,60; line dark 3 -4,50 -10,76;
line dark 3 4,50 10,76"""
MUSHROOM = """poly #f6ecd8 -15,0 -11,48 11,48 15,0; blob body -50,44 -40,76 0,98 40,76 50,44 0,36;
oval #fffdf4 -20,70 7,6; oval #fffdf4 6,82 7,6; oval #fffdf4 24,60 7,6"""
BALL = "oval body 0,20 20,20; oval light -7,27 7,6; line dark 3 -18,20 18,20"
KITE = """poly body 0,60 26,28 0,-30 -26,28; poly light 0,60 26,28 0,28; poly dark 0,-30 -26,28 0,28;
line #f4f0e4 3 0,-30 -8,-44 6,-56 -4,-70"""
UMBRELLA = """line #3a2c22 4 0,0 0,66;
poly body -58,50 -48,72 -24,88 0,93 24,88 48,72 58,50 38,56 19,50 0,56 -19,50 -38,56; line dark 2 -19,50 0,92;
line dark 2 19,50 0,92"""
TOY_BALLOON = "line #f4f0e4 2 0,0 0,70; oval body 0,98 26,31; oval light -9,108 7,10; poly dark -5,62 5,62 0,70"
FLAG = """line #4a3626 5 0,-30 0,104; poly body 2,102 30,96 56,102 56,62 30,56 2,62;
poly dark 2,68 30,62 56,68 56,62 30,56 2,62"""
GUITAR = """line #5a3c1e 7 6,10 44,62; line #2c1d10 9 40,56 47,66; oval body -4,-2 23,19; oval body 9,14 16,14;
oval #2c1d10 1,4 7,7"""

THINGS = {
    "car": CAR,
    "truck": TRUCK,
    "house": HOUSE,
    "tree": TREE,
    "sailboat": SAILBOAT,
    "ship": SHIP,
    "tent": TENT,
    "parasol": PARASOL,
    "balloon": BALLOON,
}
ANIMALS = {
    "horse": HORSE,
    "rabbit": RABBIT,
    "turtle": TURTLE,
    "duck": DUCK,
    "elephant": ELEPHANT,
    "giraffe": GIRAFFE,
    "snail": SNAIL,
    "penguin": PENGUIN,
}
PLANTS = {"flower": FLOWER, "tulip": TULIP, "mushroom": MUSHROOM}
ITEMS = {"ball": BALL, "kite": KITE, "umbrella": UMBRELLA, "balloon": TOY_BALLOON, "flag": FLAG, "guitar": GUITAR}


@lru_cache(maxsize=128)
def _shapes(sketch: str) -> tuple[tuple[str, str, float, tuple[Point, ...]], ...]:
    """The sketch's lines as (verb, colour, width, points), curves worked out once."""
    shapes = []
    for shape in sketch.split(";"):
        verb, colour, *rest = shape.split()
        width = float(rest.pop(0)) if verb == "line" else 0.0
        points = pts(" ".join(rest))
        shapes.append((verb, colour, width, tuple(smooth(points, closed=True, steps=6) if verb == "blob" else points)))
    return tuple(shapes)


def paint(
    canvas: Canvas,
    sketch: str,
    foot: Point,
    size: float,
    colour: str,
    facing: int = 1,
    names: Mapping[str, str] | None = None,
    flat: str | None = None,
) -> None:
    """Paint a sketch that stands at `foot`, `size` pixels wide.

    `facing` -1 mirrors it, `names` gives the colours of its named parts, `flat` makes it a silhouette.
    """
    unit = size / 100
    dim = mix(colour, "#000000", 0.32) if colour != BLACK else "#4a4f57"
    known = {"body": colour, "dark": dim, "light": mix(colour, "#ffffff", 0.45), **(names or {})}
    for verb, name, width, points in _shapes(sketch):
        fill = flat or known.get(name, name)
        if verb == "oval":
            (x, y), (rx, ry) = points
            canvas.ellipse(foot[0] + facing * x * unit, foot[1] - y * unit, rx * unit, ry * unit, fill)
            continue
        at = [(foot[0] + facing * x * unit, foot[1] - y * unit) for x, y in points]
        if verb == "line":
            canvas.line(at, fill, max(width * unit, 1.5), caps=True)
        else:
            canvas.polygon(at, fill)


@lru_cache(maxsize=128)
def height(sketch: str) -> float:
    """How tall a sketch is, in hundredths of its width."""
    tops = []
    for verb, _, _, points in _shapes(sketch):
        tops += [points[0][1] + points[1][1]] if verb == "oval" else [y for _, y in points]
    return max(tops)
