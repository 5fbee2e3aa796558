"""Textbook plates: labelled diagrams, paintings in a museum, monuments of a culture, specimens with their names."""

from __future__ import annotations

import numpy as np

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .canvas import Box, Canvas, Point, faded, mix
from .chance import pick, sample
from .plates import BESIDE_THINGS, MONUMENTS, MOTIFS, SPECIES, SUBJECTS
from .sketches import paint

DOMAIN = "Knowledge & Education"
AGENTS = ("subject", "parts", "lesson")

COLOURS = {
    "red": "#d6242c",
    "orange": "#f58c1c",
    "yellow": "#f6d93a",
    "green": "#2f9a45",
    "blue": "#2a5cd0",
    "purple": "#8c34b4",
}
COUNTS = ("one", "two", "three", "four", "five")
NUMBERS = tuple(str(number) for number in range(10, 50))
PAPERS = ("#f6efdc", "#f1e6ca", "#eef0e4", "#f7f1e8", "#e9e4d2")
INK = "#2b2620"


ERAS = {"15th": "Renaissance", "17th": "Baroque", "18th": "Rococo", "19th": "Romantic", "20th": "Modern"}
FRAMES = {"gold": "#d8a62e", "black": "#211f22", "white": "#f7f5ef", "brown": "#6f4322"}
WALLS = {"red": "#9c3a3a", "green": "#5d8468", "blue": "#56759c", "grey": "#a3a3a1", "cream": "#eadfc2"}
TITLES = (
    "Dawn", "Harvest", "Silence", "Voyage", "Dream", "Winter", "Memory", "Echo",
    "Hope", "Glory", "Garden", "Storm", "Morning", "River", "Music", "Peace",
)  # fmt: skip

SUNS = {"red": "#d8322c", "orange": "#f28a1e", "yellow": "#fbe04a", "white": "#fffdf6"}
TOPICS = (
    "Travel",
    "History",
    "Heritage",
    "Customs",
    "Peoples",
    "Empires",
    "Journeys",
    "Legends",
    "Builders",
    "Wonders",
)

SPOTS = {"black": "#1c1a1c", "white": "#fdfcf6", "red": "#d6242c", "yellow": "#f6d93a", "blue": "#2a5cd0"}
NEAR = {"purple": ("blue",), "blue": ("black",), "orange": ("red", "yellow"), "yellow": ("white",)}
NAMES = (
    "Alba", "Nova", "Minor", "Major", "Rubra", "Viola", "Aurea", "Magna",
    "Silva", "Luna", "Stella", "Terra", "Marina", "Elegans", "Regina", "Gracilis",
)  # fmt: skip
LENGTHS = tuple(str(number) for number in range(1, 10))

DIAGRAM = Statement(
    "diagram", "subject", "diagram {subject}", "A science diagram explains a {subject}.", {"subject": tuple(SUBJECTS)}
)
FIGURE = Statement("figure", "subject", "figure {number}", "It is figure {number}.", {"number": NUMBERS})
PART = Statement(
    "part",
    "parts",
    "{part} {colour} {side}",
    "The {part} is {colour}, labelled on the {side}.",
    {
        "part": tuple(part for _, _, parts in SUBJECTS.values() for part in parts),
        "colour": tuple(COLOURS),
        "side": ("left", "right"),
    },
    key=("part",),
)
SCIENCE = Statement(
    "science",
    "lesson",
    "{science}",
    "The lesson belongs to {science}.",
    {"science": tuple(science for _, science, _ in SUBJECTS.values())},
)
LABELS = Statement(
    "labels", "lesson", "most labels {side}", "Most labels stand on the {side}.", {"side": ("left", "right")}
)
PAINTING = Statement(
    "painting",
    "subject",
    "painting {motif} {colour}",
    "A museum painting shows {motif} in {colour}.",
    {"motif": tuple(MOTIFS), "colour": tuple(COLOURS)},
)
FRAME = Statement(
    "frame",
    "parts",
    "{frame} frame, {wall} wall",
    "Its {frame} frame hangs on a {wall} wall.",
    {"frame": tuple(FRAMES), "wall": tuple(WALLS)},
)
PLATE = Statement("plate", "parts", "plate {title}", "The plate below names it {title}.", {"title": TITLES})
CENTURY = Statement(
    "century",
    "parts",
    "{century} century",
    "The plate dates it to the {century} century.",
    {"century": tuple(ERAS)},
)
GENRE = Statement(
    "genre",
    "lesson",
    "genre {genre}",
    "Its genre is {genre}.",
    {"genre": tuple(dict.fromkeys(genre for _, genre in MOTIFS.values()))},
)
ERA = Statement("era", "lesson", "{era} era", "It comes from the {era} era.", {"era": tuple(ERAS.values())})
MONUMENT = Statement(
    "monument",
    "subject",
    "culture {colour} {monument}",
    "A culture page presents a {colour} {monument}.",
    {"colour": tuple(colour for colour in COLOURS if colour != "orange"), "monument": tuple(MONUMENTS)},
)
TOPIC = Statement("topic", "subject", "topic {topic}", "The heading reads {topic}.", {"topic": TOPICS})
PAGE = Statement("page", "subject", "page {number}", "The page number is {number}.", {"number": NUMBERS})
SUN = Statement("sun", "parts", "{colour} sun", "The round sun behind it is {colour}.", {"colour": tuple(SUNS)})
BESIDE = Statement(
    "beside",
    "parts",
    "{count} {thing}(|s)",
    "Before it (stands|stand) {count} {thing}(|s).",
    {"count": COUNTS, "thing": tuple(BESIDE_THINGS)},
)
COUNTRY = Statement(
    "country",
    "lesson",
    "{country}",
    "Such buildings are known from {country}.",
    {"country": tuple(country for _, country, _ in MONUMENTS.values())},
)
CONTINENT = Statement(
    "continent",
    "lesson",
    "{continent}",
    "The culture belongs to {continent}.",
    {"continent": tuple(dict.fromkeys(continent for _, _, continent in MONUMENTS.values()))},
)
SPECIMEN = Statement(
    "specimen",
    "subject",
    "specimen {species} {colour}",
    "A specimen plate shows a {species} coloured {colour}.",
    {"species": tuple(SPECIES), "colour": tuple(COLOURS)},
)
NAME = Statement("name", "subject", "name {name}", "Its printed name is {name}.", {"name": NAMES})
ENTRY = Statement("entry", "subject", "No {number}", "Its collection number is {number}.", {"number": NUMBERS})
SPOT = Statement(
    "spot",
    "parts",
    "{count} {colour} spot(|s)",
    "It has {count} {colour} spot(|s).",
    {"count": COUNTS, "colour": tuple(SPOTS)},
)
LENGTH = Statement("length", "parts", "{length} cm", "The scale bar says {length} cm.", {"length": LENGTHS})
BELONGS = Statement(
    "belongs",
    "lesson",
    "{group}",
    "It is one of the {group}.",
    {"group": tuple(dict.fromkeys(group for _, _, group, _ in SPECIES.values()))},
)
CLASS = Statement(
    "class",
    "lesson",
    "{rank} specimen",
    "By its length it counts as {rank}.",
    {"rank": ("small", "medium", "large")},
)


def _paper(canvas: Canvas, rng: np.random.Generator) -> str:
    """A printed page: paper, foxing, a border; returns the colour of the paper."""
    paper = pick(rng, PAPERS)
    canvas.gradient((0, 0, SIDE, SIDE), [(0, paper), (1, mix(paper, "#b89a5c", 0.16))])
    for x, y, radius in rng.uniform((0, 0, 2), (SIDE, SIDE, 9), (14, 3)):
        canvas.ellipse(x, y, radius, fill=faded("#a07c3c", 0.1))
    inset = rng.uniform(4, 8)
    canvas.rect((inset, inset, SIDE - inset, SIDE - inset), outline=mix(INK, paper, rng.uniform(0, 0.6)), width=2)
    if rng.uniform() < 0.5:
        canvas.rect((inset + 5, inset + 5, SIDE - inset - 5, SIDE - inset - 5), outline=mix(INK, paper, 0.5))
    return paper


def _label(canvas: Canvas, y: float, text: str, side: str, colour: str, size: float) -> Point:
    """A label in the colour of its part at an edge of the page; returns where its leader line starts."""
    wide = canvas.text_width(text, size) + 18
    left = 14 if side == "left" else SIDE - 14 - wide
    canvas.rect((left, y - 21, left + wide, y + 21), colour, INK, 2, radius=6)
    dark = colour in (COLOURS["blue"], COLOURS["purple"], COLOURS["red"], COLOURS["green"])
    canvas.text(left + wide / 2, y, text, size, "#ffffff" if dark else "#1a1610", anchor="mm")
    return (left + wide if side == "left" else left, y)


def draw_diagram(rng: np.random.Generator, scale: int) -> Picture:
    """A thing in section whose parts are coloured and named at the edges."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    paper = _paper(canvas, rng)
    subject, number = pick(rng, tuple(SUBJECTS)), pick(rng, NUMBERS)
    sketch, science, places = SUBJECTS[subject]
    parts = [list(places)[int(at)] for at in sorted(rng.permutation(4)[: int(rng.integers(3, 5))])]
    hues = sample(rng, tuple(COLOURS), len(COLOURS))
    colours = dict(zip(parts, hues, strict=False))
    major, minor = ("left", "right") if rng.uniform() < 0.5 else ("right", "left")
    lone = pick(rng, parts)
    sides = {part: minor if part == lone else major for part in parts}
    names = {part: COLOURS[colours[part]] if part in colours else "#bdb5a4" for part in places}
    size, foot = rng.uniform(178, 196), (SIDE / 2 + rng.uniform(-6, 6), rng.uniform(372, 388))
    canvas.ellipse(foot[0], foot[1] - size * 0.6, size * 0.62, size * 0.78, mix(paper, "#ffffff", 0.6))
    paint(canvas, sketch, foot, size, INK, names=names)
    rows = {part: 112 + 86 * at + rng.uniform(-8, 8) for at, part in enumerate(parts)}
    for part in parts:
        side, (x, y) = sides[part], places[part]
        target = (foot[0] + x * size / 100 * (1 if side == "right" else -1), foot[1] - y * size / 100)
        start = _label(canvas, rows[part], part, side, names[part], 30)
        canvas.line([start, target], INK, 2)
        canvas.ellipse(*target, 5, fill=INK)
    heading = rng.uniform(90, SIDE - 90)
    canvas.text(heading, 42, f"Figure {number}", rng.uniform(32, 38), INK, anchor="mm")
    claims = [PART(part=part, colour=colours[part], side=sides[part]) for part in parts]
    reasons = (SCIENCE(science=science), LABELS(side=major))
    return Picture(canvas.finish(), (DIAGRAM(subject=subject), FIGURE(number=number), *claims, *reasons))


def _framed(canvas: Canvas, rng: np.random.Generator, box: Box, frame: str) -> Box:
    """A moulded frame and the primed canvas in it; returns the canvas's box."""
    x0, y0, x1, y1 = box
    canvas.rect((x0 + 9, y0 + 11, x1 + 9, y1 + 11), faded("#000000", 0.35))
    thick = rng.uniform(20, 27)
    for share, tone in ((0.0, 0.0), (0.3, 0.22), (0.55, -0.15), (0.8, 0.3)):
        colour = mix(frame, "#000000", tone) if tone >= 0 else mix(frame, "#ffffff", -tone)
        inset = thick * share
        canvas.rect((x0 + inset, y0 + inset, x1 - inset, y1 - inset), colour)
    return (x0 + thick, y0 + thick, x1 - thick, y1 - thick)


def _painted(canvas: Canvas, rng: np.random.Generator, box: Box, motif: str, colour: str) -> None:
    """The painting inside its frame: toned ground, brush strokes, the motif."""
    x0, y0, x1, y1 = box
    tones = pick(rng, (("#d9c9a0", "#8b7a58"), ("#b9c6cf", "#6d7f86"), ("#d8b99c", "#8a6a58")))
    canvas.gradient((x0, y0, x1, y1), [(0, tones[0]), (1, mix(*tones, 0.6))])
    canvas.rect((x0, y1 - 54, x1, y1), mix(*tones, 0.85))
    for x, y, long in rng.uniform((x0, y0 + 3, 8), (x1 - 30, y1 - 3, 28), (46, 3)):
        canvas.line([(x, y), (x + long, y - 2)], faded("#ffffff" if y % 2 < 1 else "#3a2a1a", 0.14), 3)
    size = (y1 - y0) * (0.92 if motif == "a mountain" else 0.78) * rng.uniform(0.92, 1)
    foot = y1 if motif == "a portrait" else y1 - rng.uniform(16, 26)
    skin = pick(rng, ("#efc8a4", "#c98f66", "#8a5836"))
    middle = (x0 + x1) / 2 + rng.uniform(-12, 12)
    paint(canvas, MOTIFS[motif][0], (middle, foot), size, colour, names={"skin": skin})


def draw_painting(rng: np.random.Generator, scale: int) -> Picture:
    """A framed painting on a museum wall, a plate with its title and century below."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    wall, frame = pick(rng, tuple(WALLS)), pick(rng, tuple(FRAMES))
    canvas.gradient((0, 0, SIDE, SIDE), [(0, mix(WALLS[wall], "#ffffff", 0.16)), (1, mix(WALLS[wall], "#000000", 0.1))])
    lamp = SIDE / 2 + rng.uniform(-16, 16)
    canvas.polygon([(lamp - 40, 0), (lamp + 40, 0), (lamp + 220, 350), (lamp - 220, 350)], faded("#fff6d8", 0.16))
    half, top, bottom = rng.uniform(135, 172), rng.uniform(16, 26), rng.uniform(306, 322)
    inner = _framed(canvas, rng, (lamp - half, top, lamp + half, bottom), FRAMES[frame])
    motif, colour = pick(rng, tuple(MOTIFS)), pick(rng, tuple(COLOURS))
    _painted(canvas, rng, inner, motif, COLOURS[colour])
    title, century = pick(rng, TITLES), pick(rng, tuple(ERAS))
    plate, size = (lamp - 112, 344, lamp + 112, 432), rng.uniform(29, 33)
    canvas.rect((plate[0] + 4, plate[1] + 5, plate[2] + 4, plate[3] + 5), faded("#000000", 0.3))
    canvas.rect(plate, pick(rng, ("#f4f0e4", "#e6d08c", "#fbfaf6")), mix(WALLS[wall], "#000000", 0.5), 2)
    canvas.text(lamp, 368, title, size, "#221a10", anchor="mm")
    canvas.text(lamp, 408, f"{century} century", 28, "#3a2f20", anchor="mm")
    claims = (
        PAINTING(motif=motif, colour=colour),
        FRAME(frame=frame, wall=wall),
        PLATE(title=title),
        CENTURY(century=century),
        GENRE(genre=MOTIFS[motif][1]),
        ERA(era=ERAS[century]),
    )
    return Picture(canvas.finish(), claims)


def _site(canvas: Canvas, rng: np.random.Generator, box: Box, sky: str, land: str, sun: str) -> tuple[float, int]:
    """A sky with a sun over hills and a plain; returns the plain's height and the sun's side (-1 left, 1 right)."""
    left, top, right, bottom = box
    canvas.rect(box, sky)
    radius = rng.uniform(30, 38)
    side = 1 if rng.uniform() < 0.5 else -1
    canvas.ellipse(SIDE / 2 + side * rng.uniform(130, 150), top + radius + 14, radius, fill=sun)
    plain = bottom - rng.uniform(78, 86)
    skyline = [(left, plain - 14), (150, plain - 30), (300, plain - 12), (right, plain - 28)]
    canvas.polygon([*skyline, (right, plain + 20), (left, plain + 20)], mix(land, sky, 0.5))
    canvas.rect((left, plain, right, bottom), land)
    return plain, side


def _row(canvas: Canvas, rng: np.random.Generator, box: Box, thing: str, count: int) -> None:
    """Things side by side at the foot of a picture."""
    start = rng.uniform(box[0] + 36, box[2] - 36 - (count - 1) * 72)
    for at in range(count):
        foot = (start + at * 72 + rng.uniform(-3, 3), box[3] - rng.uniform(2, 7))
        paint(canvas, BESIDE_THINGS[thing], foot, 66, "#ffffff")


def draw_monument(rng: np.random.Generator, scale: int) -> Picture:
    """A page of a culture reader: a heading, a flat picture of a monument and a page number."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    _paper(canvas, rng)
    topic, number = pick(rng, TOPICS), pick(rng, NUMBERS)
    centred = rng.uniform() < 0.5
    canvas.text(SIDE / 2 if centred else 30, 40, topic, rng.uniform(36, 42), INK, anchor="mm" if centred else "lm")
    box = (26.0, 72.0, SIDE - 26.0, rng.uniform(384, 392))
    colour = pick(rng, MONUMENT.choices["colour"])
    alike = {"green": "#9fd0b4", "purple": "#c9b7d8", "blue": "#a9c6e6"}.get(colour, "")
    sky = pick(rng, ("#8fc7cf", "#a9c6e6", "#c9b7d8", "#9fd0b4"), alike)
    land = pick(rng, ("#d9bd85", "#c4b48c", "#b9a27c"))
    sun, monument = pick(rng, tuple(SUNS)), pick(rng, tuple(MONUMENTS))
    plain, side = _site(canvas, rng, box, sky, land, SUNS[sun])
    sketch, country, continent = MONUMENTS[monument]
    tall = {"pagoda": 116.0, "windmill": 104.0, "temple": 94.0}.get(monument, 78.0)
    size = min(226.0, (plain - box[1] - 14) / tall * 100) * rng.uniform(0.9, 1)
    paint(canvas, sketch, (SIDE / 2 - side * rng.uniform(14, 34), plain + 8), size, COLOURS[colour])
    count, thing = int(rng.integers(1, 6)), pick(rng, tuple(BESIDE_THINGS))
    _row(canvas, rng, box, thing, count)
    canvas.rect(box, outline=INK, width=2)
    canvas.text(rng.uniform(60, SIDE - 60), 416, number, 34, INK, anchor="mm")
    claims = (
        MONUMENT(monument=monument, colour=colour),
        TOPIC(topic=topic),
        PAGE(number=number),
        SUN(colour=sun),
        BESIDE(count=COUNTS[count - 1], thing=thing),
        COUNTRY(country=country),
        CONTINENT(continent=continent),
    )
    return Picture(canvas.finish(), claims)


def draw_specimen(rng: np.random.Generator, scale: int) -> Picture:
    """A plate of one species with its number, size and name."""
    canvas = Canvas(SIDE, SIDE, scale=scale)
    _paper(canvas, rng)
    species, colour = pick(rng, tuple(SPECIES)), pick(rng, tuple(COLOURS))
    sketch, tall, group, places = SPECIES[species]
    size = min(296.0, 262 / tall * 100) * rng.uniform(0.92, 1)
    foot = (SIDE / 2 + rng.uniform(-20, 20), 222 + size * tall / 200 + rng.uniform(-6, 6))
    paint(canvas, sketch, (foot[0] + 6, foot[1] + 8), size, "#b5a584", flat="#cbbd9d")
    paint(canvas, sketch, foot, size, COLOURS[colour])
    count, spot = int(rng.integers(1, 6)), pick(rng, tuple(SPOTS), colour, *NEAR.get(colour, ()))
    for at in rng.permutation(5)[:count]:
        x, y = foot[0] + places[at][0] * size / 100, foot[1] - places[at][1] * size / 100
        canvas.ellipse(x, y, 20, fill=SPOTS[spot], outline=mix(COLOURS[colour], "#000000", 0.5), width=1.5)
    name, number, length = pick(rng, NAMES), pick(rng, NUMBERS), pick(rng, LENGTHS)
    canvas.text(24, 42, f"No {number}", 32, INK, anchor="lm")
    bar = 46 + 8 * int(length)
    canvas.line([(SIDE - 24 - bar, 66), (SIDE - 24, 66)], INK, 4)
    canvas.text(SIDE - 24, 42, f"{length} cm", 32, INK, anchor="rm")
    canvas.text(SIDE / 2 + rng.uniform(-60, 60), 404, name, rng.uniform(38, 44), INK, anchor="mm")
    rank = ("small", "medium", "large")[(int(length) - 1) // 3]
    claims: tuple[Claim, ...] = (
        SPECIMEN(species=species, colour=colour),
        NAME(name=name),
        ENTRY(number=number),
        SPOT(count=COUNTS[count - 1], colour=spot),
        LENGTH(length=length),
        BELONGS(group=group),
        CLASS(rank=rank),
    )
    return Picture(canvas.finish(), claims)


KINDS = (
    Kind("science_diagram", DOMAIN, "Science Knowledge", (DIAGRAM, FIGURE, PART, SCIENCE, LABELS), draw_diagram),
    Kind("museum_painting", DOMAIN, "Art", (PAINTING, FRAME, PLATE, CENTURY, GENRE, ERA), draw_painting),
    Kind("monument", DOMAIN, "Culture", (MONUMENT, TOPIC, PAGE, SUN, BESIDE, COUNTRY, CONTINENT), draw_monument),
    Kind("specimen", DOMAIN, "Natural Biology", (SPECIMEN, NAME, ENTRY, SPOT, LENGTH, BELONGS, CLASS), draw_specimen),
)
