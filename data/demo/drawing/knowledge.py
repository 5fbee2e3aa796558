"""Knowledge & Education: a plant cell, the water cycle, the solar system, a food chain, the pyramids."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Canvas, Point, ellipse_points, faded, mix, pts, smooth
from .registry import Picture, picture
from .shapes import below, cloud, conifer, ridge, sun_rays

CELL_LABELS = (
    ("Cell wall", (150, 96), (219, 91), "l"),
    ("Chloroplast", (150, 168), (226, 148), "l"),
    ("Mitochondrion", (150, 238), (214, 238), "l"),
    ("Golgi body", (150, 312), (212, 312), "l"),
    ("Cytoplasm", (150, 396), (230, 386), "l"),
    ("Cell membrane", (592, 130), (552, 205), "r"),
    ("Vacuole", (592, 272), (420, 290), "r"),
    ("ER", (592, 366), (503, 369), "r"),
    ("Nucleus", (592, 428), (512, 420), "r"),
    ("Nucleolus", (592, 484), (486, 446), "r"),
)


def _callout(canvas: Canvas, label: str, at: Point, target: Point, side: str) -> None:
    """A label beside the drawing with a line to what it names; `side` is where the label stands, l or r."""
    canvas.line([at, target], "#333333", 1.4)
    canvas.ellipse(*target, 3.2, fill="#333333")
    canvas.text(at[0] + (-6 if side == "l" else 6), at[1], label, 18, "#1c2b1c", anchor="rm" if side == "l" else "lm")


def _chloroplast(canvas: Canvas, x: float, y: float, turn: float) -> None:
    """A green chloroplast with its stacks of thylakoids."""
    canvas.ellipse(x, y, 25, 13, "#4ba63c", turn=turn, outline="#256b1f", width=2)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    for shift in (-12, -4, 4, 12):
        middle = (x + shift * cos, y + shift * sin)
        canvas.line(
            [(middle[0] + 6 * sin, middle[1] - 6 * cos), (middle[0] - 6 * sin, middle[1] + 6 * cos)], "#2b7a25", 3
        )


def _mitochondrion(canvas: Canvas, x: float, y: float, turn: float) -> None:
    """An orange mitochondrion with its folded inner membrane."""
    canvas.ellipse(x, y, 20, 10, "#f0894a", turn=turn, outline="#a34a17", width=1.8)
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    zigzag = [(-14 + 4 * n, 4.5 if n % 2 else -4.5) for n in range(8)]
    canvas.line(smooth([(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in zigzag]), "#a34a17", 1.5)


@picture("knowledge_education", "plant_cell.png")
def plant_cell(rng: np.random.Generator) -> Picture:
    """A plant cell with ten labelled parts."""
    canvas = Canvas(736, 560)
    canvas.text(368, 18, "The plant cell", 28, "#1c3d1c", anchor="ma", bold=True)
    wall = pts("214,84 376,70 528,92 566,200 556,400 508,512 350,526 206,506 172,380 178,190")
    canvas.blob(wall, "#8cc46a", "#3f7d2a", 3)
    inner = [(368 + (x - 368) * 0.93, 298 + (y - 298) * 0.94) for x, y in wall]
    canvas.blob(inner, "#e9f7d2", "#d9a03a", 3.5)
    canvas.blob(pts("282,196 380,170 446,210 450,300 404,384 320,412 262,350 256,262"), "#a9d8f3", "#3e87b8", 2.5)
    for _ in range(70):
        angle, far = rng.uniform(0, 2 * math.pi), rng.uniform(0.76, 0.86)
        canvas.ellipse(368 + 196 * far * math.cos(angle), 298 + 224 * far * math.sin(angle), 2, fill="#8a6d3b")
    for radius, start in ((72, 232), (83, 242), (94, 234)):
        membrane = ellipse_points((474, 436), (radius, radius * 0.84), arc=(start, start + 68), steps=30)
        canvas.line(membrane, "#c06aa8", 5, caps=True)
    canvas.ellipse(474, 436, 58, 50, "#b79ae0", outline="#5e3c99", width=3)
    canvas.ellipse(482, 442, 20, fill="#5e3c99")
    for x, y, turn in ((232, 150, 30), (330, 124, -8), (462, 134, 12), (520, 232, 78), (222, 432, -50), (332, 470, 6)):
        _chloroplast(canvas, x, y, turn)
    for x, y, turn in ((216, 238, 80), (392, 134, 12), (516, 320, 100), (262, 466, 30)):
        _mitochondrion(canvas, x, y, turn)
    for number in range(4):
        canvas.curve([(196, 292 + number * 13), (212, 286 + number * 13), (236, 292 + number * 13)], "#e0699a", 5)
    for label, at, target, side in CELL_LABELS:
        _callout(canvas, label, at, target, side)
    return canvas.finish(), (
        "A labelled diagram of a plant cell. The labels name the cell wall, cell membrane, cytoplasm, chloroplast, "
        "mitochondrion, Golgi body, ER, nucleus and nucleolus, and the large blue vacuole in the middle."
    )


def _tag(canvas: Canvas, x: float, y: float, label: str) -> None:
    """A label on a white plate, centred at (x, y)."""
    half = canvas.text_width(label, 19) / 2 + 12
    canvas.rect((x - half, y - 15, x + half, y + 15), faded("#ffffff", 0.88), radius=8)
    canvas.text(x, y, label, 19, "#123a5a", anchor="mm", bold=True)


def _mountain(canvas: Canvas, rng: np.random.Generator) -> None:
    """The snowy mountain with its green slope, the earth below, ground water, stones and firs."""
    canvas.polygon(pts("420,400 520,262 566,300 640,170 700,260 768,210 768,410"), "#7c8f7a")
    canvas.polygon(pts("612,219 640,170 670,215 655,207 640,223 626,211"), "#ffffff")
    canvas.polygon(pts("735,234 768,210 768,248 751,226"), "#ffffff")
    land = smooth(pts("330,418 430,392 560,372 660,330 780,300"))
    canvas.polygon(below(land, 560), "#8a6a45")
    canvas.polygon([*land, (780, 352), *reversed([(x, y + 34) for x, y in land])], "#6da544")
    canvas.line(smooth(pts("330,520 470,492 600,478 780,450")), "#4f8fc0", 16)
    for _ in range(16):
        canvas.ellipse(rng.uniform(460, 760), rng.uniform(505, 540), rng.uniform(3, 6), fill="#6e5234")
    for x, foot, height in ((520, 398, 58), (560, 384, 70), (480, 404, 50), (736, 330, 66)):
        conifer(canvas, x, foot, height)


def _sea(canvas: Canvas, rng: np.random.Generator) -> None:
    """The sea with its waves and the river that runs into it."""
    shore = smooth(pts("-10,404 80,400 180,405 270,401 352,410"))
    canvas.polygon([*shore, *pts("392,440 372,500 330,560 -10,560")], "#2f80c0")
    for _ in range(26):
        wave = pts("0,0 9,-3 18,0 27,-3", (rng.uniform(0, 290), rng.uniform(420, 535)))
        canvas.curve(wave, "#8fc3ea", 1.4)
    canvas.line(smooth(pts("652,250 630,300 660,340 560,392 450,412 370,430")), "#3f97d6", 9)


def _clouds_and_rain(canvas: Canvas, rng: np.random.Generator) -> None:
    """A white cloud, two grey ones and the rain below them."""
    for x, y, size in ((300, 120, 46), (560, 96, 60), (450, 112, 44)):
        cloud(canvas, x, y, size, "#ffffff" if x < 400 else "#dfe6ee")
    for number in range(24):
        row, column = divmod(number, 6)
        start = (520 + column * 20 + 8 * (row % 2) + rng.uniform(-2, 2), 138 + row * 24 + rng.uniform(-4, 4))
        canvas.line([start, (start[0] - 4, start[1] + 12)], "#2f6fb0", 2)


@picture("knowledge_education", "water_cycle.jpg")
def water_cycle(rng: np.random.Generator) -> Picture:
    """The water cycle: evaporation, condensation, precipitation, run-off and ground water."""
    canvas = Canvas(768, 544)
    canvas.gradient((0, 0, 768, 424), [(0, "#7fbdea"), (1, "#e3f2fb")])
    canvas.text(24, 18, "The water cycle", 28, "#123a5a", bold=True)
    for near, far in sun_rays(92, 118, 44, 62, 12):
        canvas.line([near, far], "#f5a623", 4)
    canvas.ellipse(92, 118, 38, fill="#fdc830")
    _mountain(canvas, rng)
    _sea(canvas, rng)
    _clouds_and_rain(canvas, rng)
    for x in (130, 185, 240):
        canvas.arrow(smooth(pts("0,386 10,320 -4,260 12,196", (x, 0))), "#d9534f", 4, 15)
    canvas.arrow([(360, 76), (482, 62)], "#4b5f78", 4, 15)
    canvas.arrow([(556, 470), (420, 492)], "#ffffff", 4, 15)
    tags = {"Evaporation": (176, 300), "Condensation": (402, 42), "Precipitation": (432, 186)}
    tags |= {"Run-off": (500, 436), "Ground water": (640, 500), "Sea": (110, 480)}
    for label, (x, y) in tags.items():
        _tag(canvas, x, y, label)
    return canvas.finish(), (
        "A diagram of the water cycle: the sun warms the sea, water rises by evaporation, clouds form by condensation, "
        "rain falls as precipitation on the mountains, and run-off in a river and ground water flow back to the sea."
    )


def _night(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """The dark right side of a planet that is lit from the left."""
    rim = ellipse_points((x, y), (radius, radius), arc=(-90, 90))
    dusk = ellipse_points((x, y), (radius * 0.35, radius), arc=(-90, 90))
    canvas.polygon([*rim, *reversed(dusk)], faded("#000000", 0.38))


PLANETS = (
    ("Mercury", 134, 7, "#a8a29a"),
    ("Venus", 188, 12, "#e3b566"),
    ("Earth", 250, 13, "#3f8fe0"),
    ("Mars", 308, 9, "#d1603d"),
    ("Jupiter", 402, 42, "#d9b38c"),
    ("Saturn", 524, 33, "#e6cf96"),
    ("Uranus", 628, 22, "#9fe0e6"),
    ("Neptune", 710, 21, "#4b6fe0"),
)


def _planet(canvas: Canvas, name: str, x: float, radius: float, colour: str) -> None:
    """A planet with what it is known by: land, bands and spot, or the ring."""
    if name == "Saturn":
        canvas.line(ellipse_points((x, 236), (60, 15), turn=-16, arc=(180, 360)), "#c9b27a", 6)
    canvas.ellipse(x, 236, radius, fill=colour)
    if name == "Earth":
        canvas.blob(pts("244,228 252,226 254,234 247,240"), "#4caf50")
        canvas.blob(pts("246,243 252,241 250,247"), "#4caf50")
    if name == "Jupiter":
        for dy, shade in ((-22, "#b98a5e"), (-8, "#c79c70"), (8, "#a8754a"), (22, "#c79c70")):
            half = math.sqrt(radius**2 - dy**2) - 1
            canvas.line([(x - half, 236 + dy), (x + half, 236 + dy)], faded(shade, 0.8), 5)
        canvas.ellipse(x - 14, 251, 9, 6, "#b5452c")
    _night(canvas, x, 236, radius)
    if name == "Saturn":
        canvas.line(ellipse_points((x, 236), (60, 15), turn=-16, arc=(0, 180)), "#d8c38d", 6)


@picture("knowledge_education", "solar_system.jpg")
def solar_system(rng: np.random.Generator) -> Picture:
    """The sun and the eight planets on their orbits, each with its name."""
    canvas = Canvas(768, 448, "#070b1d")
    for _ in range(170):
        shade = faded("#ffffff", rng.uniform(0.25, 0.9))
        canvas.ellipse(rng.uniform(0, 768), rng.uniform(0, 448), rng.uniform(0.4, 1.2), fill=shade)
    canvas.glow(-70, 236, 290, "#ffb02e", 0.9)
    for _, x, _, _ in PLANETS:
        canvas.line(ellipse_points((-70, 236), (x + 70, x + 70), arc=(-65, 65), steps=160), "#2c3a63", 1.2)
    canvas.ellipse(-70, 236, 142, fill="#ffcf4a")
    canvas.ellipse(-70, 236, 132, fill="#ffe08a")
    canvas.text(22, 236, "Sun", 20, "#8a4b00", anchor="mm", bold=True)
    for number, (name, x, radius, colour) in enumerate(PLANETS):
        _planet(canvas, name, x, radius, colour)
        canvas.text(x, 236 + (radius + 24) * (1 if number % 2 else -1), name, 17, "#ffffff", anchor="mm")
    canvas.text(744, 20, "The solar system", 27, "#ffffff", anchor="ra", bold=True)
    canvas.text(744, 424, "Sizes and distances are not to scale", 14, "#9aa6c7", anchor="rm")
    return canvas.finish(), (
        "A chart of the solar system on a starry background: from the Sun at the left, Mercury, Venus, Earth, "
        "Mars, Jupiter with its red spot, Saturn with its ring, Uranus and Neptune on their orbits. A note says "
        "that it is not to scale."
    )


def _leaf(canvas: Canvas, x: float, y: float) -> None:
    """A twig with three oak-green leaves."""
    canvas.curve([(x - 48, y + 48), (x - 8, y + 14), (x + 42, y - 40)], "#7a5230", 5)
    for dx, dy, turn in ((-34, -2, 50), (26, 22, 15), (8, -42, -100)):
        canvas.ellipse(x + dx, y + dy, 33, 15, "#56a53f", turn=turn, outline="#2f6e22", width=2)
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        canvas.line([(x + dx - 31 * cos, y + dy - 31 * sin), (x + dx + 31 * cos, y + dy + 31 * sin)], "#2f6e22", 1.6)


def _caterpillar(canvas: Canvas, x: float, y: float) -> None:
    """A striped caterpillar on a twig."""
    canvas.line([(x - 62, y + 34), (x + 62, y + 28)], "#7a5230", 6, caps=True)
    for number in range(7):
        at = (x - 46 + number * 14.5, y + 14 - 13 * math.sin(number / 6 * math.pi * 2))
        canvas.line([(at[0], at[1] + 10), (at[0], at[1] + 20)], "#3b3b2c", 3)
        canvas.ellipse(*at, 14, fill="#9acb3c" if number % 2 else "#f0d43a", outline="#5d7f1c", width=1.6)
    head = (x + 54, y + 8)
    for dx in (-4, 6):
        canvas.curve([(head[0] + dx, head[1] - 12), (head[0] + dx * 1.6, head[1] - 26)], "#3b3b2c", 2)
    canvas.ellipse(*head, 16, fill="#c9532f", outline="#8c3013", width=1.6)
    canvas.ellipse(head[0] + 6, head[1] - 3, 4.5, fill="#ffffff")
    canvas.ellipse(head[0] + 7.5, head[1] - 3, 2.4, fill="#111111")


def _robin(canvas: Canvas, x: float, y: float) -> None:
    """A robin with its orange breast, seen from the side."""
    for dx in (-4, 10):
        canvas.line([(x + dx, y + 34), (x + dx + 2, y + 56), (x + dx + 12, y + 57)], "#6b4a2b", 2.6)
    canvas.polygon(pts("-34,14 -66,34 -60,46 -24,32", (x, y)), "#6d5a45")
    canvas.blob(pts("-40,18 -12,-14 14,-46 40,-40 44,-8 30,30 -4,40", (x, y)), "#8b7355")
    canvas.blob(pts("20,-34 40,-32 44,-6 32,18 14,14 16,-10", (x, y)), "#ea6a2d")
    canvas.blob(pts("-6,38 16,16 32,18 20,36", (x, y)), "#f3ece0")
    canvas.blob(pts("-44,22 -16,-8 6,-4 4,16 -22,28", (x, y)), "#665038")
    canvas.polygon([(x + 43, y - 30), (x + 60, y - 24), (x + 43, y - 20)], "#4a3a2a")
    canvas.ellipse(x + 30, y - 32, 4, fill="#111111")
    canvas.ellipse(x + 31.2, y - 33.4, 1.3, fill="#ffffff")


def _fox(canvas: Canvas, x: float, y: float) -> None:
    """The face of a fox."""
    for side in (-1, 1):
        canvas.polygon(
            [(x + side * 14, y - 30), (x + side * 46, y - 58), (x + side * 48, y - 8)], "#d9692a", "#b44f18", 2
        )
        canvas.polygon([(x + side * 24, y - 30), (x + side * 41, y - 46), (x + side * 41, y - 16)], "#3b2a20")
    canvas.blob(pts("0,-36 40,-24 52,6 24,34 0,52 -24,34 -52,6 -40,-24", (x, y)), "#e6762f")
    for side in (-1, 1):
        canvas.blob(
            [
                (x + side * 52, y + 6),
                (x + side * 28, y + 4),
                (x + side * 6, y + 24),
                (x + side * 2, y + 50),
                (x + side * 26, y + 33),
            ],
            "#fff4e6",
        )
        canvas.ellipse(x + side * 21, y - 4, 6.5, 7.5, "#2a1a10")
        canvas.ellipse(x + side * 21 + 2, y - 7, 2, fill="#ffffff")
    canvas.ellipse(x, y + 44, 9.5, 7, "#1f1410")


@picture("knowledge_education", "food_chain.png", task="Knowledge & Education")
def food_chain(rng: np.random.Generator) -> Picture:
    """A food chain from a leaf to a fox, with the role of every link."""
    canvas = Canvas(768, 448, "#f4f8ea")
    canvas.text(384, 24, "A woodland food chain", 30, "#2d4a1e", anchor="ma", bold=True)
    canvas.text(384, 66, "The arrows show where the energy goes", 17, "#5d7050", anchor="ma")
    links = (
        (_leaf, "Leaf", "producer", "#d5ebc0"),
        (_caterpillar, "Caterpillar", "primary consumer", "#fbf0bf"),
        (_robin, "Robin", "secondary consumer", "#d7e8f6"),
        (_fox, "Fox", "tertiary consumer", "#fadcc8"),
    )
    for number, (draw, name, role, colour) in enumerate(links):
        x = 98 + number * 190.7
        canvas.ellipse(x, 222, 80, fill=colour, outline=mix(colour, "#000000", 0.35), width=2.5)
        draw(canvas, x, 222)
        canvas.text(x, 322, name, 23, "#222222", anchor="ma", bold=True)
        canvas.text(x, 354, role, 16, "#55604c", anchor="ma")
        if number:
            canvas.arrow([(x - 110, 222), (x - 82, 222)], "#3d6b2a", 5, 17)
    canvas.rect((98, 396, 670, 428), "#e2edd0", radius=10)
    canvas.text(384, 412, "Sunlight feeds the leaf; each animal eats the link before it.", 16, "#3c4d31", anchor="mm")
    return canvas.finish(), (
        "A diagram titled 'A woodland food chain': a leaf (producer), a caterpillar (primary consumer), a robin "
        "(secondary consumer) and a fox (tertiary consumer) in a row of circles, joined by arrows that show where "
        "the energy goes."
    )


def _pyramid(canvas: Canvas, name: str, x: float, foot: float, tall: float) -> None:
    """A pyramid in courses of stone, lit from the left; that of Khafre keeps its light cap."""
    half = tall * 0.8
    canvas.polygon([(x - half, foot), (x, foot - tall), (x + half * 0.3, foot)], "#e8c583")
    canvas.polygon([(x + half * 0.3, foot), (x, foot - tall), (x + half, foot - 8)], "#b08a4e")
    courses = round(tall / 8)
    for number in range(1, courses):
        y, reach = foot - tall * number / courses, half * (1 - number / courses)
        edge = [(x - reach, y), (x + reach * 0.3, y), (x + reach, y - 8 * (1 - number / courses))]
        canvas.line(edge, faded("#6f5227", 0.35), 0.9)
    if name == "Khafre":
        low = foot - tall
        cap = [(-0.17, 0.17), (0.0, 0.0), (0.17, 0.16), (0.05, 0.2)]
        canvas.polygon([(x + half * dx, low + tall * dy) for dx, dy in cap], "#f6ead0")


@picture("knowledge_education", "pyramids.jpg")
def pyramids(rng: np.random.Generator) -> Picture:
    """The three pyramids of Giza in the desert with their names and heights."""
    canvas = Canvas(768, 480)
    canvas.gradient((0, 0, 768, 350), [(0, "#5fa8dc"), (1, "#fbe6c2")])
    canvas.polygon(below(ridge(rng, 768, 338, 26, 200), 480), "#dcb878")
    for name, height, x, foot, tall in (
        ("Menkaure", "65 m", 118, 322, 70),
        ("Khafre", "136 m", 310, 346, 150),
        ("Khufu", "147 m", 566, 352, 163),
    ):
        _pyramid(canvas, name, x, foot, tall)
        top = foot - tall - 58
        canvas.rect((x - 62, top, x + 62, top + 46), faded("#ffffff", 0.85), radius=7)
        canvas.text(x, top + 5, name, 18, "#5a3a10", anchor="ma", bold=True)
        canvas.text(x, top + 26, height, 15, "#5a3a10", anchor="ma")
    canvas.polygon(below(smooth(pts("-10,400 160,352 380,372 560,350 780,386")), 490), "#e6c283")
    canvas.polygon(below(smooth(pts("-10,440 220,404 420,430 640,396 780,420")), 490), "#d6a962")
    canvas.text(24, 18, "Pyramids of Giza, Egypt", 27, "#ffffff", bold=True)
    canvas.rect((0, 438, 768, 480), faded("#4a2f10", 0.82))
    canvas.text(384, 459, "Royal tombs of the Fourth Dynasty, built about 2600 - 2500 BC", 17, "#fff4dc", anchor="mm")
    return canvas.finish(), (
        "A school picture of the three pyramids of Giza in the desert, labelled Menkaure (65 m), Khafre (136 m, with a "
        "light cap) and Khufu (147 m). The caption says that they are royal tombs of the Fourth Dynasty, built about "
        "2600 - 2500 BC."
    )
