"""What the textbook plates show, as sketches (see `sketches`), and what there is to know about it."""

from __future__ import annotations

from .canvas import Point
from .sketches import HORSE, SAILBOAT

FLOWER = """line root 5 0,16 -8,6 -24,0; line root 5 0,16 8,6 24,0; line root 5 0,16 0,-6; line stem 8 0,16 0,96;
blob leaf 0,40 -14,62 -40,66 -26,44; blob leaf 0,40 14,62 40,66 26,44; oval petal 0,132 13,18;
oval petal -24,116 19,13; oval petal 24,116 19,13; oval petal -15,96 15,15; oval petal 15,96 15,15;
oval #5b3a10 0,113 12,12"""
CELL = """poly wall -48,8 -48,112 -38,122 38,122 48,112 48,8 38,-2 -38,-2; poly #f8f4d8 -41,8 -41,112 41,112 41,8;
oval nucleus 0,88 19,19; oval #f8f4d8 0,88 6,6; oval vacuole 0,34 22,22; oval plastid -30,66 9,6;
oval plastid 30,66 9,6; oval plastid -31,18 7,9; oval plastid 31,18 7,9"""
VOLCANO = """poly #8d7a66 -50,22 -18,104 18,104 50,22; poly #c8b48c -50,22 -50,-4 50,-4 50,22; oval magma 0,8 34,15;
line vent 9 0,12 0,100; line lava 9 -14,104 -24,72 -30,44; line lava 9 14,104 24,72 30,44; oval crater 0,106 20,9;
oval #b8b4b0 -8,130 13,9; oval #cbc7c2 8,140 15,10"""
EARTH = "oval air 0,60 50,50; oval crust 0,60 42,42; oval mantle 0,60 32,32; oval core 0,60 15,15"
MUSHROOM = """line thread 4 -5,10 -16,2 -34,-4; line thread 4 5,10 16,2 34,-4; line thread 4 0,10 0,-8;
poly stalk -13,8 -10,70 10,70 13,8; poly gill -42,68 -30,54 30,54 42,68;
blob cap -50,68 -42,98 0,122 42,98 50,68 0,64"""

# A subject: its sketch, the science that teaches it, and where each of its parts is on its right half.
SUBJECTS: dict[str, tuple[str, str, dict[str, Point]]] = {
    "flower": (FLOWER, "botany", {"petal": (27, 116), "leaf": (28, 56), "stem": (0, 30), "root": (16, 4)}),
    "cell": (CELL, "biology", {"wall": (44, 110), "nucleus": (13, 88), "plastid": (30, 66), "vacuole": (12, 34)}),
    "volcano": (VOLCANO, "geology", {"crater": (12, 106), "lava": (23, 74), "vent": (0, 48), "magma": (20, 8)}),
    "planet": (EARTH, "astronomy", {"air": (33, 93), "crust": (36, 69), "mantle": (22, 46), "core": (6, 56)}),
    "mushroom": (MUSHROOM, "mycology", {"cap": (28, 98), "gill": (24, 60), "stalk": (5, 34), "thread": (20, 0)}),
}

FACE = """poly body -48,0 -40,34 -16,46 16,46 40,34 48,0; poly skin -9,40 -9,60 9,60 9,40; oval #3a2417 0,80 27,30;
oval skin 0,76 20,25; oval #2b1a12 -8,80 3,2; oval #2b1a12 8,80 3,2; line #a0443a 2 -6,64 0,62 6,64;
line #9a6a4c 2 0,78 2,70"""
VASE = """line #3f7a34 3 0,50 -24,86; line #3f7a34 3 0,50 0,94; line #3f7a34 3 0,50 24,86;
oval #f2ead6 -25,88 13,12; oval #f2ead6 0,98 14,13; oval #f2ead6 25,88 13,12; oval #c8963a -25,88 4,4;
oval #c8963a 0,98 4,4; oval #c8963a 25,88 4,4; blob body -12,54 -14,44 -30,24 -20,2 20,2 30,24 14,44 12,54"""
PEAK = """poly body -50,0 -14,76 4,48 22,64 50,0; poly dark -14,76 4,48 12,0 -4,0; poly dark 22,64 50,0 30,0;
poly #fbfaf4 -22,59 -14,76 -5,62 -12,56; poly #fbfaf4 14,57 22,64 28,52 20,50"""
APPLE = """blob body 0,64 -22,72 -42,52 -36,16 -14,2 0,6 14,2 36,16 42,52 22,72; oval light -20,50 7,11;
line #5a3a20 5 0,62 4,84; blob #6a8f3c 4,76 18,90 36,88 22,74"""
MOTIFS = {
    "a portrait": (FACE, "portraiture"),
    "a vase": (VASE, "still life"),
    "an apple": (APPLE, "still life"),
    "a ship": (SAILBOAT, "seascape"),
    "a mountain": (PEAK, "landscape art"),
    "a horse": (HORSE, "animal art"),
}

PYRAMID = """poly body -50,0 0,74 50,0; poly dark 0,74 50,0 16,0; line dark 1.5 -36,20 8,20;
line dark 1.5 -24,38 5,38; line dark 1.5 -12,56 2,56"""
TEMPLE = """poly dark -50,0 -50,8 50,8 50,0; poly dark -44,8 -44,60 44,60 44,8; line body 9 -38,8 -38,60;
line body 9 -13,8 -13,60; line body 9 13,8 13,60; line body 9 38,8 38,60; poly body -50,60 -50,68 50,68 50,60;
poly body -50,70 0,94 50,70"""
PAGODA = """poly #f3e6cf -26,0 -26,22 26,22 26,0; poly #f3e6cf -20,38 -20,54 20,54 20,38;
poly #f3e6cf -14,68 -14,82 14,82 14,68; poly body -50,26 -42,22 42,22 50,26 24,40 -24,40;
poly body -42,58 -35,54 35,54 42,58 18,70 -18,70; poly body -34,86 -28,82 28,82 34,86 3,104 -3,104;
line dark 3 0,102 0,116; poly #4a3428 -7,0 -7,16 7,16 7,0"""
WINDMILL = """poly body -24,0 -15,64 15,64 24,0; poly dark -17,64 0,82 17,64; poly #4a3428 -6,0 -6,18 6,18 6,0;
line #fffaf0 6 -40,30 40,102; line #fffaf0 6 -40,102 40,30; oval #4a3428 0,66 5,5; oval #fdf6e0 0,40 5,6"""
CASTLE = """poly dark -34,0 -34,48 34,48 34,0;
poly body -50,0 -50,76 -44,76 -44,70 -38,70 -38,76 -32,76 -32,70 -26,70 -26,76 -20,76 -20,0;
poly body 20,0 20,76 26,76 26,70 32,70 32,76 38,76 38,70 44,70 44,76 50,76 50,0;
poly body -20,40 -20,54 20,54 20,40; poly #3a2a22 -9,0 -9,20 0,28 9,20 9,0; oval #3a2a22 -35,48 4,6;
oval #3a2a22 35,48 4,6"""
IGLOO = """poly body -48,0 -45,22 -34,42 -16,54 0,57 16,54 34,42 45,22 48,0; line dark 2 -45,20 45,20;
line dark 2 -34,40 34,40; line dark 2 -22,0 -22,20; line dark 2 24,0 24,20; line dark 2 0,20 0,40;
line dark 2 -32,20 -28,40; line dark 2 0,40 0,56; poly dark -20,0 -17,20 0,28 17,20 20,0;
poly #2b2a30 -12,0 -10,14 0,20 10,14 12,0"""
MONUMENTS = {
    "pyramid": (PYRAMID, "Egypt", "Africa"),
    "temple": (TEMPLE, "Greece", "Europe"),
    "pagoda": (PAGODA, "Japan", "Asia"),
    "windmill": (WINDMILL, "Holland", "Europe"),
    "castle": (CASTLE, "England", "Europe"),
    "igloo": (IGLOO, "Greenland", "North America"),
}
PALM = """line #7a5230 8 0,0 4,64; line #2f7d3c 9 4,66 -20,84 -40,70; line #2f7d3c 9 4,66 28,84 44,70;
line #2f7d3c 9 4,66 -26,66 -42,48; line #2f7d3c 9 4,66 30,66 44,48; line #2f7d3c 9 4,66 4,92"""
FIR = """poly #5a3c24 -6,0 -6,14 6,14 6,0; poly #1f5a3a -36,12 0,60 36,12; poly #1f5a3a -28,40 0,84 28,40;
poly #1f5a3a -20,66 0,100 20,66"""
POST = "line #3a2e28 6 -12,0 -12,98; poly #fdfaf2 -10,96 40,78 -10,60"
BESIDE_THINGS = {"palm": PALM, "fir": FIR, "flag": POST}

BUTTERFLY = """blob body 0,48 -14,82 -46,92 -50,62 -22,42; blob body 0,48 14,82 46,92 50,62 22,42;
blob body 0,46 -32,42 -38,16 -20,4 -4,26; blob body 0,46 32,42 38,16 20,4 4,26; oval #33261d 0,46 4,27;
line #33261d 1.5 -1,70 -12,94; line #33261d 1.5 1,70 12,94"""
BEETLE = """line #2c2420 3 -28,62 -46,74; line #2c2420 3 28,62 46,74; line #2c2420 3 -32,42 -50,42;
line #2c2420 3 32,42 50,42; line #2c2420 3 -26,20 -44,8; line #2c2420 3 26,20 44,8; oval #2c2420 0,88 18,13;
oval body 0,43 35,43; line #2c2420 2 0,86 0,0; line #2c2420 2 -6,98 -16,110; line #2c2420 2 6,98 16,110"""
LEAF = """blob body 0,112 28,82 38,46 20,16 0,10 -20,16 -38,46 -28,82; line dark 2.5 0,-8 0,106;
line dark 1.5 0,30 -28,52; line dark 1.5 0,30 28,52; line dark 1.5 0,58 -24,80; line dark 1.5 0,58 24,80"""
SHELL = """blob body 0,4 -14,2 -20,14 -46,44 -44,66 -28,84 0,90 28,84 44,66 46,44 20,14 14,2;
line dark 1.5 0,4 -38,54; line dark 1.5 0,4 -20,80; line dark 1.5 0,4 0,88; line dark 1.5 0,4 20,80;
line dark 1.5 0,4 38,54; poly dark -18,10 -14,0 14,0 18,10"""
STAR = "poly body 0,98 15,66 48,63 24,41 32,7 0,25 -32,7 -24,41 -48,63 -15,66; oval body 0,47 24,24"
FISH = """poly dark -30,30 -50,52 -50,8; poly dark -10,52 10,66 20,50; oval body 3,30 38,27; oval #ffffff 29,36 5,5;
oval #111111 30,36 2.5,2.5; line dark 2 36,20 41,23"""
# A species: its sketch, how tall it is, its group of living things and where its spots may be.
SPECIES: dict[str, tuple[str, float, str, tuple[Point, ...]]] = {
    "butterfly": (BUTTERFLY, 94, "insects", ((-37, 76), (37, 76), (-21, 24), (21, 24), (-20, 56))),
    "beetle": (BEETLE, 110, "insects", ((-18, 62), (18, 62), (-18, 37), (18, 37), (-11, 15))),
    "leaf": (LEAF, 112, "plants", ((-14, 78), (14, 78), (-20, 49), (20, 49), (13, 24))),
    "shell": (SHELL, 90, "molluscs", ((-29, 60), (29, 60), (0, 72), (-13, 38), (13, 38))),
    "starfish": (STAR, 98, "echinoderms", ((0, 72), (24, 55), (15, 27), (-15, 27), (-24, 55))),
    "fish": (FISH, 66, "vertebrates", ((-22, 30), (-6, 43), (-6, 17), (12, 44), (13, 16))),
}
