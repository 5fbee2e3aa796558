"""UI & Interaction: a shop's website, settings and chats on a phone, a control panel on a tablet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .canvas import Box, Canvas, ellipse_points, mix
from .chance import pick, sample
from .icons import ICONS
from .widgets import COLOURS, button, ground, ink, paint_browser, paint_phone, paint_switch, paint_tablet, tint

DOMAIN = "UI & Interaction"
AGENTS = ("screen", "controls", "use")


COUNTS = ("one", "two", "three", "four")

SITES = (
    *("Nova", "Bella", "Orbit", "Maple", "Lumen", "Pixel", "Fresco", "Tundra", "Cargo", "Velvet"),
    *("Harbor", "Kiosk", "Meadow", "Onyx", "Piano", "Quartz", "Ruby", "Safari", "Tempo", "Zebra"),
)
MENU_WORDS = ("Home", "News", "Sale", "Help", "Kids", "Gifts", "Blog", "Jobs")
SHOP_EFFECTS = {
    "Buy": "pays for the goods",
    "Search": "finds more goods",
    "Login": "opens the account",
    "Share": "tells a friend",
    "Save": "keeps the page",
    "Next": "turns the page",
}
THINGS = ("mug", "lamp", "plant", "bag", "clock", "book", "chair", "ball")
PRICES = tuple(f"{whole}.{part}" for whole in range(1, 10) for part in ("00", "50"))

SCREENS = ("Settings", "Options", "System", "Profile", "Control", "Device", "Account", "Tools", "General", "Safety")
SETTINGS = (
    *("Wifi", "Bluetooth", "Sound", "Location", "Camera", "Backup", "Alarm", "Sync"),
    *("Hotspot", "Updates", "Sleep", "Radio", "Cloud", "Zoom", "Mobile", "Print"),
)

APPS = ("Chatter", "Pingo", "Hello", "Talkie", "Bubble", "Wave", "Buzz", "Echo", "Parrot", "Friends")
NAMES = (
    *("Anna", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo", "Ivy", "Jack", "Kim", "Lucy"),
    *("Max", "Nora", "Oscar", "Paul", "Rosa", "Sam", "Tom", "Zoe"),
)
UNREAD = tuple(str(number) for number in range(2, 10))

ROOMS = ("Kitchen", "Garden", "Office", "Studio", "Garage", "Cellar", "Bedroom", "Hall", "Attic", "Terrace")
DEVICES = ("Lamp", "Fan", "Heater", "Music", "Blinds", "Oven", "Screen", "Pump", "Spots", "Boiler")
LEVELS = tuple(str(number) for number in range(10, 100, 5))
PANEL_EFFECTS = {
    "Save": "keeps the values",
    "Reset": "undoes the changes",
    "Stop": "turns all off",
    "Start": "turns all on",
    "Close": "leaves the panel",
}

SHOP = Statement(
    "shop",
    "screen",
    "browser, shop website {site}, {colour} header",
    "A browser window shows the shop website {site} with its header in {colour}.",
    {"site": SITES, "colour": tuple(COLOURS)},
)
MENU = Statement(
    "menu",
    "screen",
    "menu {first} {second}",
    "The menu says {first} and {second}.",
    {"first": MENU_WORDS, "second": MENU_WORDS},
)
CARD = Statement(
    "card",
    "controls",
    "{side} {thing} {price}",
    "The {side} card offers a {thing} for {price} dollars.",
    {"side": ("left", "middle", "right"), "thing": THINGS, "price": PRICES},
    key=("side",),
)
SHOP_BUTTON = Statement(
    "shop_button",
    "controls",
    "{colour} button {word}",
    "The button {word} is {colour}.",
    {"word": tuple(SHOP_EFFECTS), "colour": tuple(COLOURS)},
)
CHEAPEST = Statement("cheapest", "use", "cheapest {thing}", "The cheapest offer is the {thing}.", {"thing": THINGS})
CLICK = Statement(
    "click",
    "use",
    "click on {colour} {effect}",
    "A click on the {colour} button {effect}.",
    {"colour": tuple(COLOURS), "effect": tuple(SHOP_EFFECTS.values())},
)

PHONE = Statement(
    "phone",
    "screen",
    "phone, {theme} mode, switches of {title}",
    "A phone in {theme} mode shows the switches of the screen {title}.",
    {"theme": ("dark", "light"), "title": SCREENS},
)
SWITCH = Statement(
    "switch",
    "controls",
    "{label} {state}",
    "{label} is switched {state}.",
    {"label": SETTINGS, "state": ("on", "off")},
    key=("label",),
)
ACCENT = Statement(
    "accent", "screen", "active in {colour}", "Active switches are {colour}.", {"colour": tuple(COLOURS)[:-1]}
)
ACTIVE = Statement(
    "active", "use", "{count} setting(|s) on", "In total {count} setting(|s) (is|are) on.", {"count": COUNTS}
)

CHATS = Statement(
    "chats",
    "screen",
    "phone, chat app {app}, {colour} top bar",
    "A phone lists the chats of the app {app} under a top bar in {colour}.",
    {"app": APPS, "colour": tuple(COLOURS)},
)
CHAT = Statement(
    "chat",
    "controls",
    "{name} {colour} {number} new",
    "{name}, shown in {colour}, has {number} new messages.",
    {"name": NAMES, "colour": tuple(COLOURS), "number": UNREAD},
    key=("name",),
)
MOST = Statement("most", "use", "most from {name}", "Most new messages come from {name}.", {"name": NAMES})
FEWEST = Statement("fewest", "use", "fewest from {name}", "The fewest come from {name}.", {"name": NAMES})

PANEL = Statement(
    "panel",
    "screen",
    "tablet, {theme} control panel {room}",
    "A tablet shows the control panel {room} in {theme} colours.",
    {"theme": ("dark", "light"), "room": ROOMS},
)
SLIDER = Statement(
    "slider",
    "controls",
    "{label} slider {value}",
    "The {label} slider stands at {value}.",
    {"label": DEVICES, "value": LEVELS},
    key=("label",),
)
PANEL_BUTTON = Statement(
    "panel_button",
    "controls",
    "{colour} button {word}",
    "Below them is the button {word} in {colour}.",
    {"word": tuple(PANEL_EFFECTS), "colour": tuple(COLOURS)},
)
HIGHEST = Statement("highest", "use", "highest {label}", "The highest slider is {label}.", {"label": DEVICES})
TAP = Statement(
    "tap",
    "use",
    "tap on {colour} {effect}",
    "Tapping the {colour} button {effect}.",
    {"colour": tuple(COLOURS), "effect": tuple(PANEL_EFFECTS.values())},
)


def _cards(canvas: Canvas, rng: np.random.Generator, box: Box, cards: Sequence[tuple[str, str]]) -> None:
    """The products side by side, each with its picture and its price."""
    gap = rng.uniform(8, 14)
    width = (box[2] - box[0] - gap * (len(cards) + 1)) / len(cards)
    pale = pick(rng, ("#eaf0f7", "#f6efe4", "#eaf4ea", "#f3ecf5", "#eeeeee"))
    for number, (thing, price) in enumerate(cards):
        left = box[0] + gap + number * (width + gap)
        canvas.rect((left, box[1], left + width, box[3]), "#ffffff", "#cdd3dc", 1.5, radius=8)
        canvas.rect((left + 6, box[1] + 6, left + width - 6, box[3] - 42), pale, radius=6)
        at = (left + width / 2 + rng.uniform(-6, 6), (box[1] + box[3] - 36) / 2 + rng.uniform(-4, 4))
        ICONS[thing](canvas, *at, tint(rng, pick(rng, tuple(COLOURS.values()))))
        canvas.text(left + width / 2, box[3] - 22, f"${price}", 30, "#161a21", anchor="mm", bold=True)


def draw_shop(rng: np.random.Generator, scale: int) -> Picture:
    """A shop's website in a browser: header, menu, products and a button."""
    site, header, colour = pick(rng, SITES), pick(rng, tuple(COLOURS)), pick(rng, tuple(COLOURS))
    first, second = sample(rng, MENU_WORDS, 2)
    word = pick(rng, tuple(SHOP_EFFECTS))
    count = int(rng.integers(2, 4))
    cards = list(zip(sample(rng, THINGS, count), sample(rng, PRICES, count), strict=True))
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    ground(canvas, rng)
    x0, y0, x1, y1 = paint_browser(canvas, rng, site, header)
    left = x0 + rng.uniform(18, 90)
    for name in (first, second):
        canvas.text(left, y0 + 22, name, 29, "#20242b", anchor="lm")
        left += canvas.text_width(name, 29) + rng.uniform(36, 60)
    canvas.line([(x0 + 10, y0 + 41), (x1 - 10, y0 + 41)], "#d3d8e0", 1.5)
    above = bool(rng.random() < 0.4)
    wide = canvas.text_width(word, 29) + rng.uniform(44, 90)
    at = rng.uniform(x0 + 16, x1 - wide - 16)
    top = y0 + 50 if above else y1 - 58
    button(canvas, (at, top, at + wide, top + 46), word, colour, tint(rng, COLOURS[colour]), 29, rng.uniform(4, 23))
    _cards(canvas, rng, (x0, y0 + (106 if above else 52), x1, y1 - (12 if above else 70)), cards)
    sides = ("left", "right") if count == 2 else ("left", "middle", "right")
    cheapest = min(cards, key=lambda card: float(card[1]))[0]
    claims = (
        SHOP(site=site, colour=header),
        MENU(first=first, second=second),
        *(CARD(side=side, thing=thing, price=price) for side, (thing, price) in zip(sides, cards, strict=True)),
        SHOP_BUTTON(word=word, colour=colour),
        CHEAPEST(thing=cheapest),
        CLICK(colour=colour, effect=SHOP_EFFECTS[word]),
    )
    return Picture(canvas.finish(), claims)


def draw_settings(rng: np.random.Generator, scale: int) -> Picture:
    """The settings of a phone: a title and switches with labels."""
    theme, title, colour = pick(rng, ("dark", "light")), pick(rng, SCREENS), pick(rng, tuple(COLOURS)[:-1])
    labels = sample(rng, SETTINGS, int(rng.integers(3, 5)))
    states = [bool(rng.random() < 0.5) for _ in labels]
    states[int(rng.integers(len(states)))] = True
    paper, card, pen = ("#16181d", "#2a2d35", "#f4f5f7") if theme == "dark" else ("#eef0f5", "#ffffff", "#15181d")
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    x0, y0, x1, y1 = paint_phone(canvas, rng, paper, pen)
    canvas.text(x0 + rng.uniform(14, 30), y0 + 34, title, 38, pen, anchor="lm", bold=True)
    step = min((y1 - y0 - 74) / len(labels), rng.uniform(62, 80))
    top, shade = y0 + 66, tint(rng, COLOURS[colour])
    canvas.rect((x0 + 8, top, x1 - 8, top + step * len(labels)), card, radius=16)
    for number, (label, on) in enumerate(zip(labels, states, strict=True)):
        middle = top + (number + 0.5) * step
        if number:
            canvas.line([(x0 + 20, middle - step / 2), (x1 - 20, middle - step / 2)], mix(card, pen, 0.15), 1.5)
        canvas.text(x0 + 20, middle, label, 31, pen, anchor="lm")
        paint_switch(canvas, (x1 - 18, middle), shade if on else mix(card, pen, 0.28), on)
    claims = (
        PHONE(theme=theme, title=title),
        ACCENT(colour=colour),
        *(SWITCH(label=label, state="on" if on else "off") for label, on in zip(labels, states, strict=True)),
        ACTIVE(count=COUNTS[sum(states) - 1]),
    )
    return Picture(canvas.finish(), claims)


def draw_chats(rng: np.random.Generator, scale: int) -> Picture:
    """The chats on a phone: a top bar, names with round pictures and numbers of new messages."""
    app, bar, count = pick(rng, APPS), pick(rng, tuple(COLOURS)), int(rng.integers(3, 5))
    rows = list(
        zip(sample(rng, NAMES, count), sample(rng, tuple(COLOURS), count), sample(rng, UNREAD, count), strict=True)
    )
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    x0, y0, x1, y1 = paint_phone(canvas, rng, "#ffffff", "#15181d")
    canvas.rect((x0, y0, x1, y0 + 54), tint(rng, COLOURS[bar]))
    canvas.text(x0 + rng.uniform(16, 60), y0 + 27, app, 35, ink(bar), anchor="lm", bold=True)
    step = min((y1 - y0 - 56) / count, rng.uniform(72, 90))
    badge = pick(rng, ("#e5322d", "#1b8f4b", "#2467d6", "#2b2f38"))
    for number, (name, colour, unread) in enumerate(rows):
        middle = y0 + 58 + (number + 0.5) * step
        shade = tint(rng, COLOURS[colour])
        canvas.ellipse(x0 + 40, middle, 29, fill=shade)
        pale = mix(shade, "#ffffff", 0.75)
        canvas.ellipse(x0 + 40, middle - 7, 9, fill=pale)
        canvas.polygon(ellipse_points((x0 + 40, middle + 22), (18, 16), arc=(180, 360), steps=20), pale)
        canvas.text(x0 + 80, middle - 8, name, 32, "#15181d", anchor="lm")
        canvas.rect((x0 + 80, middle + 17, x0 + 80 + rng.uniform(50, 110), middle + 22), "#d2d6dd", radius=2)
        canvas.ellipse(x1 - 32, middle, 22, fill=badge)
        canvas.text(x1 - 32, middle, unread, 32, "#ffffff", anchor="mm", bold=True)
        if number:
            canvas.line([(x0 + 80, middle - step / 2), (x1, middle - step / 2)], "#e3e6eb", 1.5)
    order = sorted(rows, key=lambda row: int(row[2]))
    claims = (
        CHATS(app=app, colour=bar),
        *(CHAT(name=name, colour=colour, number=unread) for name, colour, unread in rows),
        MOST(name=order[-1][0]),
        FEWEST(name=order[0][0]),
    )
    return Picture(canvas.finish(), claims)


def _signs(canvas: Canvas, right: float, top: float, pen: str) -> None:
    """The signs of the reception and of the battery in the corner of a screen."""
    for number, high in enumerate((5, 9, 13)):
        canvas.rect((right - 62 + number * 7, top + 20 - high, right - 58 + number * 7, top + 20), pen)
    canvas.rect((right - 38, top + 8, right - 14, top + 20), None, pen, 2, radius=3)
    canvas.rect((right - 35, top + 11, right - 25, top + 17), pen)


def draw_panel(rng: np.random.Generator, scale: int) -> Picture:
    """A tablet with a control panel: a title, three sliders with their values and a button."""
    theme, room = pick(rng, ("dark", "light")), pick(rng, ROOMS)
    # A black button would drown on a dark screen.
    colour = pick(rng, tuple(COLOURS)[: -1 if theme == "dark" else None])
    word = pick(rng, tuple(PANEL_EFFECTS))
    labels = sample(rng, DEVICES, 3)
    # The tens differ, so that the highest is told by one digit.
    values = [10 * tens + pick(rng, (0, 5)) for tens in sample(rng, range(1, 10), 3)]
    paper, card, pen = ("#20242d", "#323845", "#f4f5f7") if theme == "dark" else ("#f3f5f9", "#ffffff", "#15181d")
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    x0, y0, x1, y1 = paint_tablet(canvas, rng, paper)
    canvas.text(x0 + rng.uniform(14, 140), y0 + 30, room, 36, pen, anchor="lm", bold=True)
    _signs(canvas, x1, y0, pen)
    accent = mix(pick(rng, ("#3d8bfd", "#e0533d", "#2fa866", "#9a5be0", "#e39a1f")), pen, 0.1)
    step = (y1 - y0 - 118) / 3
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        top = y0 + 56 + number * step
        canvas.rect((x0 + 8, top, x1 - 8, top + step - 6), card, radius=10)
        middle, left, right = top + step / 2 - 3, x0 + 138, x1 - 76
        knob = left + (right - left) * value / 100
        canvas.text(x0 + 20, middle, label, 30, pen, anchor="lm")
        canvas.rect((left, middle - 5, right, middle + 5), mix(card, pen, 0.22), radius=5)
        canvas.rect((left, middle - 5, knob, middle + 5), accent, radius=5)
        canvas.ellipse(knob, middle, 13, fill="#ffffff", outline=accent, width=4)
        canvas.text(x1 - 20, middle, str(value), 31, pen, anchor="rm", bold=True)
    wide = canvas.text_width(word, 30) + rng.uniform(50, 110)
    at, shade = rng.uniform(x0 + 14, x1 - wide - 14), tint(rng, COLOURS[colour])
    button(canvas, (at, y1 - 55, at + wide, y1 - 9), word, colour, shade, 30, rng.uniform(6, 23))
    claims: tuple[Claim, ...] = (
        PANEL(theme=theme, room=room),
        *(SLIDER(label=label, value=str(value)) for label, value in zip(labels, values, strict=True)),
        PANEL_BUTTON(word=word, colour=colour),
        HIGHEST(label=labels[values.index(max(values))]),
        TAP(colour=colour, effect=PANEL_EFFECTS[word]),
    )
    return Picture(canvas.finish(), claims)


KINDS: tuple[Kind, ...] = (
    Kind("shop_website", DOMAIN, "Website", (SHOP, MENU, CARD, SHOP_BUTTON, CHEAPEST, CLICK), draw_shop),
    Kind("phone_settings", DOMAIN, "Mobile", (PHONE, ACCENT, SWITCH, ACTIVE), draw_settings),
    Kind("phone_chats", DOMAIN, "Mobile", (CHATS, CHAT, MOST, FEWEST), draw_chats),
    Kind("tablet_panel", DOMAIN, "Tablet", (PANEL, SLIDER, PANEL_BUTTON, HIGHEST, TAP), draw_panel),
)
