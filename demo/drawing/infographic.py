"""Infographic & Document: a road sign outdoors, a formal page and a receipt on a table, a poster on a wall."""

from __future__ import annotations

import numpy as np

from ..scene import SIDE, Kind, Picture, Statement
from .canvas import Box, Canvas, faded, mix
from .chance import apart, pick, sample
from .emblems import paint_emblem, paint_rosette
from .surfaces import outdoors, paint_sheet, paint_table_top, paint_wall

DOMAIN = "Infographic & Document"
AGENTS = ("layout", "text", "meaning")


SCENES = ("a city street", "green fields", "a sandy beach", "snowy mountains", "a desert")
BOARDS = {
    "green": "#0f6b3c",
    "blue": "#1650a8",
    "brown": "#7a4824",
    "yellow": "#f4c81e",
    "white": "#f4f5f2",
    "red": "#b8242c",
}
TOWNS = (
    "Ashford", "Bexley", "Carlow", "Denby", "Elton", "Farley", "Gresham", "Hythe", "Ilford", "Kelso", "Luton", "Malton",
    "Newport", "Oban", "Perth", "Redhill", "Selby", "Truro", "Upton", "Wells",
)  # fmt: skip
WAYS = ("left", "right", "straight on")
DISTANCES = tuple(str(number) for number in range(2, 61))

SIGN = Statement("sign", "layout", "road sign before {scene}", "A road sign stands before {scene}.", {"scene": SCENES})
BOARD = Statement("board", "layout", "{colour} board", "Its board is {colour}.", {"colour": tuple(BOARDS)})
TOWN = Statement(
    "town",
    "text",
    "{town} {number} km {way}",
    "{town} is {number} km away, go {way}.",
    {"town": TOWNS, "number": DISTANCES, "way": WAYS},
    key=("town",),
)
NEAREST = Statement("nearest", "meaning", "nearest {town}", "The nearest town is {town}.", {"town": TOWNS})
TURN = Statement("turn", "meaning", "way there {way}", "Go {way} for the nearest town.", {"way": WAYS})

VERBS = {
    "Invitation": "invites",
    "Thank you": "thanks",
    "Diploma": "honours",
    "Reminder": "reminds",
    "Welcome": "welcomes",
    "Award": "rewards",
}
NAMES = (
    "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Iris", "Jack",
    "Kate", "Leo", "Maria", "Noah", "Olivia", "Paul", "Rosa", "Simon", "Tina", "Victor",
)  # fmt: skip
SUBJECTS = (
    "Wedding", "Dinner", "Picnic", "Concert", "Chess", "Swimming", "Singing", "Cooking", "Garden", "Painting", "Dance",
    "Football",
)  # fmt: skip
SEASONS = {
    "January": "winter", "February": "winter", "March": "spring", "April": "spring", "May": "spring", "June": "summer",
    "July": "summer", "August": "summer", "September": "autumn", "October": "autumn", "November": "autumn",
    "December": "winter",
}  # fmt: skip
SEALS = {
    "red": "#c0262d",
    "gold": "#dca72c",
    "green": "#2c8a45",
    "blue": "#2a5fc0",
    "black": "#26282c",
}

PAGE = Statement("page", "layout", "page headed {heading}", "A page is headed {heading}.", {"heading": tuple(VERBS)})
SEAL = Statement(
    "seal",
    "layout",
    "{colour} seal {side}",
    "A {colour} seal is at the bottom {side}.",
    {"colour": tuple(SEALS), "side": ("left", "right")},
)
REGARD = Statement("regard", "text", "about {subject}", "It is about {subject}.", {"subject": SUBJECTS})
PEOPLE = Statement(
    "people",
    "text",
    "to {name} from {signer}",
    "It is for {name} and signed {signer}.",
    {"name": NAMES, "signer": NAMES},
)
DATE = Statement(
    "date",
    "text",
    "date {day} {month}",
    "Its date is {day} {month}.",
    {"day": tuple(str(day) for day in range(1, 29)), "month": tuple(SEASONS)},
)
PURPOSE = Statement(
    "purpose",
    "meaning",
    "{signer} {verb} {name}",
    "Here {signer} {verb} {name}.",
    {"signer": NAMES, "verb": tuple(VERBS.values()), "name": NAMES},
)
SEASON = Statement(
    "season",
    "meaning",
    "season {season}",
    "The season is {season}.",
    {"season": ("winter", "spring", "summer", "autumn")},
)

POSTERS = {
    "red": "#b3262e",
    "orange": "#e8801c",
    "yellow": "#f2cc3a",
    "green": "#1f7a45",
    "blue": "#1f56b0",
    "purple": "#6a35a0",
    "black": "#1e2026",
}
WALLS = ("a brick wall", "a wooden fence", "a concrete wall", "a tiled wall")
EMBLEMS = ("star", "heart", "moon", "sun", "note", "tree", "fish", "balloon")
TITLES = (
    "Jazz Night", "Book Fair", "Food Market", "Film Week", "Art Show", "Fun Run", "Dance Gala", "Chess Cup",
    "Science Day", "Rock Fest", "Quiz Night", "Toy Sale",
)  # fmt: skip
DAYS = {
    "Monday": "weekday", "Tuesday": "weekday", "Wednesday": "weekday", "Thursday": "weekday", "Friday": "weekday",
    "Saturday": "weekend", "Sunday": "weekend",
}  # fmt: skip
HOURS = {
    "9 am": "morning", "10 am": "morning", "11 am": "morning", "2 pm": "afternoon", "3 pm": "afternoon",
    "4 pm": "afternoon", "7 pm": "evening", "8 pm": "evening", "9 pm": "evening",
}  # fmt: skip
VENUES = (
    "City Park", "Town Hall", "Old Mill", "Harbour", "Museum", "Library",
    "Stadium", "Castle", "Theatre", "Station", "School", "Church",
)  # fmt: skip

POSTER = Statement(
    "poster",
    "layout",
    "{colour} poster on {wall}",
    "The {colour} event poster hangs on {wall}.",
    {"colour": tuple(POSTERS), "wall": WALLS},
)
EMBLEM = Statement("emblem", "layout", "emblem {emblem}", "Its emblem is a {emblem}.", {"emblem": EMBLEMS})
EVENT = Statement("event", "text", "title {title}", "The event is called {title}.", {"title": TITLES})
WHEN = Statement(
    "when", "text", "{day} {hour}", "It takes place on {day} at {hour}.", {"day": tuple(DAYS), "hour": tuple(HOURS)}
)
VENUE = Statement("venue", "text", "venue {venue}", "The venue is the {venue}.", {"venue": VENUES})
WEEK = Statement("week", "meaning", "{part}", "It falls on a {part}.", {"part": ("weekday", "weekend")})
TIME = Statement(
    "time_of_day",
    "meaning",
    "in the {time}",
    "It is held in the {time}.",
    {"time": ("morning", "afternoon", "evening")},
)

TABLES = ("a wooden table", "a checked cloth", "a blue cloth", "a marble top", "a green mat", "a black slate")
SHOPS = (
    "Corner Cafe", "City Bakery", "Sun Market", "Farm Shop", "Green Deli", "Star Foods", "Mini Mart", "Daily Fresh",
    "River Store", "Happy Pantry",
)  # fmt: skip
GOODS = (
    "Bread", "Milk", "Tea", "Coffee", "Apples", "Cake", "Soap", "Eggs", "Rice", "Juice",
    "Honey", "Butter", "Cheese", "Soup", "Pasta", "Salad", "Nuts", "Pears", "Jam", "Yogurt",
)  # fmt: skip
PRICES = tuple(f"{half / 2:.2f}" for half in range(2, 20))

RECEIPT = Statement("receipt", "layout", "receipt on {table}", "A till receipt lies on {table}.", {"table": TABLES})
SHOP = Statement("shop", "text", "shop {shop}", "The shop is {shop}.", {"shop": SHOPS})
ITEM = Statement(
    "item", "text", "{item} {price}", "{item} costs {price}.", {"item": GOODS, "price": PRICES}, key=("item",)
)
TOTAL = Statement(
    "total",
    "text",
    "total {total}",
    "The total is {total}.",
    {"total": tuple(f"{half / 2:.2f}" for half in range(6, 80))},
)
DEAREST = Statement("dearest", "meaning", "dearest {item}", "The dearest item is {item}.", {"item": GOODS})
CHEAPEST = Statement("cheapest", "meaning", "cheapest {item}", "The cheapest item is {item}.", {"item": GOODS})


def _way_arrow(canvas: Canvas, x: float, y: float, way: str, ink: str) -> None:
    """An arrow of 44 pixels."""
    dx, dy = {"left": (-22, 0), "right": (22, 0), "straight on": (0, -22)}[way]
    canvas.arrow([(x - dx, y - dy), (x + dx, y + dy)], ink, 9, 26)


def _draw_sign(rng: np.random.Generator, scale: int) -> Picture:
    scene, colour, count = pick(rng, SCENES), pick(rng, tuple(BOARDS)), int(rng.integers(2, 4))
    towns, numbers = sample(rng, TOWNS, count), apart(rng, range(2, 61), count, 3)
    ways = [pick(rng, WAYS) for _ in range(count)]
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    canvas.image.paste(outdoors(rng, scene, scale))
    half, row = rng.uniform(188, 206), rng.uniform(66, 78)
    x, y = rng.uniform(half + 8, SIDE - 8 - half), rng.uniform(26, 80)
    box = (x - half, y, x + half, y + row * count + 24)
    for post in (x - half * 0.6, x + half * 0.6):
        canvas.gradient((post - 8, y - 10, post + 8, SIDE), [(0, "#6f767e"), (0.4, "#dfe4e8"), (1, "#5c636b")], True)
    ink = "#15181c" if colour in ("yellow", "white") else "#ffffff"
    canvas.rect((box[0] + 4, box[1] + 6, box[2] + 5, box[3] + 7), faded("#000000", 0.3), radius=14)
    canvas.rect(box, BOARDS[colour], mix(BOARDS[colour], "#000000", 0.3), 2, radius=14)
    canvas.rect((box[0] + 6, box[1] + 6, box[2] - 6, box[3] - 6), None, ink, 3, radius=10)
    first, size = bool(rng.random() < 0.6), int(rng.integers(33, 38))
    for number, (town, km, way) in enumerate(zip(towns, numbers, ways, strict=True)):
        middle = y + 12 + row * (number + 0.5)
        _way_arrow(canvas, box[0] + 44 if first else box[2] - 44, middle, way, ink)
        canvas.text(box[0] + (84 if first else 24), middle, town, size, ink, anchor="lm")
        canvas.text(box[2] - (24 if first else 84), middle, f"{km} km", size, ink, anchor="rm")
    nearest = min(range(count), key=numbers.__getitem__)
    rows = (TOWN(town=town, number=str(km), way=way) for town, km, way in zip(towns, numbers, ways, strict=True))
    start = (SIGN(scene=scene), BOARD(colour=colour))
    return Picture(canvas.finish(), (*start, *rows, NEAREST(town=towns[nearest]), TURN(way=ways[nearest])))


def _draw_page(rng: np.random.Generator, scale: int) -> Picture:
    heading, subject, month = pick(rng, tuple(VERBS)), pick(rng, SUBJECTS), pick(rng, tuple(SEASONS))
    (name, signer), day = sample(rng, NAMES, 2), str(int(rng.integers(1, 29)))
    colour, side = pick(rng, tuple(SEALS)), pick(rng, ("left", "right"))
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    paint_table_top(canvas, rng, pick(rng, TABLES))
    half, top = rng.uniform(165, 190), rng.uniform(10, 22)
    x = rng.uniform(half + 10, SIDE - 14 - half)
    foot = rng.uniform(424, 436)
    paint_sheet(canvas, (x - half, top, x + half, foot), pick(rng, ("#fffdf6", "#fbf3dd", "#f3f6fb", "#f7f0f2")))
    trim = mix(SEALS[pick(rng, tuple(SEALS))], "#6b5a3a", 0.4)
    canvas.rect((x - half + 10, top + 10, x + half - 10, foot - 10), None, trim, 3)
    canvas.rect((x - half + 16, top + 16, x + half - 16, foot - 16), None, trim, 1)
    size = int(rng.integers(30, 34))
    step = (foot - top - 190) / 3
    canvas.text(x, top + 54, heading, int(rng.integers(42, 48)), trim, anchor="mm", bold=True)
    canvas.line([(x - half * 0.55, top + 86), (x + half * 0.55, top + 86)], trim, 2)
    middle = bool(rng.random() < 0.5)
    at, anchor = (x, "mm") if middle else (x - half + 34, "lm")
    for number, line in enumerate((f"For {name}", subject, f"{day} {month}")):
        canvas.text(at, top + 92 + step * (number + 0.5), line, size, "#22262e", anchor=anchor)
    away = half * 0.52 * (-1 if side == "left" else 1)
    paint_rosette(canvas, x + away, foot - 66, rng.uniform(30, 36), SEALS[colour])
    canvas.line([(x - away - half * 0.33, foot - 40), (x - away + half * 0.33, foot - 40)], "#6b6f78", 1.5)
    canvas.italic(x - away, foot - 46, signer, size, "#1f3f94", anchor="ms")
    claims = (
        PAGE(heading=heading),
        SEAL(colour=colour, side=side),
        PEOPLE(name=name, signer=signer),
        REGARD(subject=subject),
        DATE(day=day, month=month),
        PURPOSE(signer=signer, verb=VERBS[heading], name=name),
        SEASON(season=SEASONS[month]),
    )
    return Picture(canvas.finish(), claims)


def _title(canvas: Canvas, x: float, y: float, title: str, size: int, wide: float, ink: str) -> None:
    """A bold title around (x, y), of `size` or as much smaller as it takes to fit into the width."""
    while canvas.text_width(title, size) * 1.18 > wide:
        size -= 2
    canvas.text(x, y, title, size, ink, anchor="mm", bold=True)


def _draw_poster(rng: np.random.Generator, scale: int) -> Picture:
    colour, wall, emblem = pick(rng, tuple(POSTERS)), pick(rng, WALLS), pick(rng, EMBLEMS)
    title, day, hour = pick(rng, TITLES), pick(rng, tuple(DAYS)), pick(rng, tuple(HOURS))
    venue, ground = pick(rng, VENUES), POSTERS[colour]
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    paint_wall(canvas, rng, wall)
    half, top, foot = rng.uniform(140, 168), rng.uniform(10, 20), rng.uniform(422, 436)
    x = rng.uniform(half + 24, SIDE - 28 - half)
    paint_sheet(canvas, (x - half, top, x + half, foot), "#ffffff")
    inner = (x - half + 5, top + 5, x + half - 5, foot - 5)
    canvas.rect(inner, ground)
    light, dark = colour in ("yellow", "orange"), mix(ground, "#000000", 0.45)
    ink = "#1d1a14" if light else "#ffffff"
    accent = dark if light else pick(rng, ("#ffd84d", "#ffffff", "#ffb3c7"))
    size, panel = rng.uniform(56, 66), foot - 148
    high = bool(rng.random() < 0.5)
    at = top + 88 if high else top + 150
    for radius in (1.2, 1.04):
        canvas.ellipse(x, at, size * radius, fill=faded("#ffffff", 0.07))
    paint_emblem(canvas, x, at, size, emblem, accent, ground)
    title_y = panel - 44 if high else top + 48
    _title(canvas, x, title_y, title, int(rng.integers(44, 50)), 2 * half - 24, ink)
    canvas.rect((inner[0], panel, inner[2], inner[3]), "#fbf7ec" if not light else "#fffdf4")
    step = (inner[3] - panel - 8) / 3
    for number, line in enumerate((day, hour, venue)):
        canvas.text(x, panel + 4 + step * (number + 0.5), line, int(rng.integers(32, 36)), "#1d1f26", anchor="mm")
    for px in (inner[0] + 8, inner[2] - 8):
        canvas.ellipse(px, top + 13, 5, fill="#d8dbe0", outline="#6c7078", width=1)
    claims = (
        POSTER(colour=colour, wall=wall),
        EMBLEM(emblem=emblem),
        EVENT(title=title),
        WHEN(day=day, hour=hour),
        VENUE(venue=venue),
        WEEK(part=DAYS[day]),
        TIME(time=HOURS[hour]),
    )
    return Picture(canvas.finish(), claims)


def _barcode(canvas: Canvas, rng: np.random.Generator, box: Box) -> None:
    """The bars of a bar code."""
    x = box[0]
    for bar, gap in rng.integers(2, 6, (30, 2)):
        if x + bar > box[2]:
            break
        canvas.rect((x, box[1], x + bar, box[3]), "#26282c")
        x += float(bar + gap)


def _draw_receipt(rng: np.random.Generator, scale: int) -> Picture:
    table, shop, count = pick(rng, TABLES), pick(rng, SHOPS), int(rng.integers(3, 5))
    items, halves = sample(rng, GOODS, count), apart(rng, range(2, 20), count, 2)
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    paint_table_top(canvas, rng, table)
    half, top, row = rng.uniform(132, 150), rng.uniform(6, 18), rng.uniform(44, 50)
    x, size = rng.uniform(half + 16, SIDE - 22 - half), int(rng.integers(31, 35))
    foot = top + 70 + row * (count + 1) + rng.uniform(72, 84)
    paint_sheet(canvas, (x - half, top, x + half, foot), "#fdfcf8")
    teeth = [(x - half + half * n / 12, foot + (10 if n % 2 else 0)) for n in range(25)]
    canvas.polygon([(x - half, foot - 2), *teeth, (x + half, foot - 2)], "#f1f0ec")
    left, right = x - half + 18, x + half - 18
    canvas.text(x, top + 36, shop, int(rng.integers(36, 41)), "#16181c", anchor="mm")
    canvas.dashed((left, top + 66), (right, top + 66), "#55585e", 2)
    total = f"{sum(halves) / 2:.2f}"
    rows = [*((item, f"{price / 2:.2f}") for item, price in zip(items, halves, strict=True)), ("TOTAL", total)]
    for number, (name, price) in enumerate(rows):
        y = top + 70 + row * (number + 0.5) + (4 if number == count else 0)
        canvas.text(left, y, name, size, "#1d1f24", anchor="lm")
        canvas.text(right, y, price, size, "#1d1f24", anchor="rm")
    y = top + 71 + row * count
    canvas.line([(left, y), (right, y)], "#1d1f24", 2.5)
    _barcode(canvas, rng, (x - half * 0.6, y + row + 16, x + half * 0.6, foot - 12))
    ranked = sorted(zip(halves, items, strict=True))
    lines = (ITEM(item=name, price=price) for name, price in rows[:-1])
    start = (RECEIPT(table=table), SHOP(shop=shop))
    # With four items the cheapest one is left out, for a drawing has at most eight claims.
    meaning = (DEAREST(item=ranked[-1][1]), CHEAPEST(item=ranked[0][1]))[: 5 - count]
    return Picture(canvas.finish(), (*start, *lines, TOTAL(total=total), *meaning))


KINDS: tuple[Kind, ...] = (
    Kind("road_sign", DOMAIN, "Natural OCR", (SIGN, BOARD, TOWN, NEAREST, TURN), _draw_sign),
    Kind("formal_page", DOMAIN, "Document", (PAGE, SEAL, PEOPLE, REGARD, DATE, PURPOSE, SEASON), _draw_page),
    Kind("event_poster", DOMAIN, "Poster", (POSTER, EMBLEM, EVENT, WHEN, VENUE, WEEK, TIME), _draw_poster),
    Kind("receipt", DOMAIN, "Table Docs", (RECEIPT, SHOP, ITEM, TOTAL, DEAREST, CHEAPEST), _draw_receipt),
)
