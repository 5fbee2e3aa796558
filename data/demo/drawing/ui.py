"""UI & Interaction: a web shop, phone settings, a login form with an error, a calendar on a tablet."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import Box, Canvas, ellipse_points, faded, mix, pts
from .registry import Picture, picture


def browser(canvas: Canvas, title: str, address: str) -> None:
    """The frame of a browser window over the full width, 68 pixels high: a tab, buttons and an address bar."""
    canvas.rect((0, 0, canvas.width, 68), "#dee2e8")
    for x, colour in ((18, "#ff5f57"), (38, "#febc2e"), (58, "#28c840")):
        canvas.ellipse(x, 17, 6, fill=colour)
    canvas.rect((82, 6, 262, 40), "#f7f8fa", radius=8)
    canvas.text(98, 20, title, 13, "#333b48", anchor="lm")
    canvas.text(246, 20, "x", 13, "#6b7280", anchor="rm")
    canvas.rect((0, 34, canvas.width, 68), "#f7f8fa")
    canvas.line([(30, 46), (24, 51), (30, 56)], "#4b5563", 1.8)
    canvas.line([(52, 46), (58, 51), (52, 56)], "#c0c6cf", 1.8)
    canvas.rect((80, 39, canvas.width - 16, 63), "#e9ecf1", radius=12)
    canvas.rect((92, 49, 100, 56), "#4b5563", radius=1)
    canvas.line(ellipse_points((96, 49), (3, 4), arc=(180, 360), steps=16), "#4b5563", 1.3)
    canvas.text(110, 51, address, 13, "#333b48", anchor="lm")
    canvas.line([(0, 68), (canvas.width, 68)], "#c9ced6", 1)


def _backpack(canvas: Canvas, x: float, y: float) -> None:
    canvas.line(ellipse_points((x, y - 36), (12, 12), arc=(180, 360), steps=24), "#1d4c7c", 4)
    canvas.rect((x - 30, y - 38, x + 30, y + 40), "#2f6db0", radius=20)
    canvas.rect((x - 21, y + 4, x + 21, y + 33), "#255a94", radius=7)
    canvas.line([(x - 21, y + 13), (x + 21, y + 13)], "#f4c95d", 2.5)


def _mug(canvas: Canvas, x: float, y: float) -> None:
    canvas.ellipse(x + 29, y + 2, 15, 18, outline="#d5532f", width=7)
    canvas.rect((x - 30, y - 32, x + 28, y + 36), "#e8643c", radius=7)
    canvas.ellipse(x - 1, y - 30, 29, 7, "#8a3a1e")
    canvas.rect((x - 30, y - 2, x + 28, y + 10), "#ffd9b8")


def _lamp(canvas: Canvas, x: float, y: float) -> None:
    canvas.ellipse(x - 8, y + 37, 26, 6, "#3b3f46")
    canvas.line([(x - 8, y + 36), (x - 22, y - 2), (x + 10, y - 28)], "#3b3f46", 5)
    canvas.polygon(pts("6,8 42,-7 50,36 10,36", (x, y)), faded("#ffe58a", 0.55))
    canvas.ellipse(x + 24, y + 2, 8, fill="#fff3b8")
    canvas.polygon(pts("1,-34 15,-40 44,-8 4,9", (x, y)), "#f2a632")


def _plant(canvas: Canvas, x: float, y: float) -> None:
    for dx, dy, turn in ((-20, -12, 50), (20, -12, -50), (-9, -26, 75), (9, -26, -75), (0, -14, 90)):
        canvas.ellipse(x + dx, y + dy, 24, 9, mix("#3c9a54", "#1f6b38", abs(dx) / 24), turn=turn)
    canvas.polygon(pts("-24,6 24,6 17,40 -17,40", (x, y)), "#c4703f")
    canvas.rect((x - 27, y + 2, x + 27, y + 12), "#d9834f")


def _product(
    canvas: Canvas, box: Box, icon: Callable[[Canvas, float, float], None], name: str, price: str, stars: int
) -> None:
    """A card of the shop: picture, name, stars, price and button."""
    x0, y0, x1, y1 = box
    canvas.shadow(box, 4, 0.16, radius=8)
    canvas.rect(box, "#ffffff", radius=8)
    canvas.rect((x0 + 10, y0 + 10, x1 - 10, y0 + 128), "#eef2f7", radius=6)
    icon(canvas, (x0 + x1) / 2, y0 + 70)
    canvas.text(x0 + 12, y0 + 140, name, 16, "#1f2937")
    for number in range(5):
        star = ellipse_points((x0 + 19 + number * 17, y0 + 175), (7.5, 7.5), turn=-90, steps=10)
        inner = ellipse_points((x0 + 19 + number * 17, y0 + 175), (3.2, 3.2), turn=-90, steps=10)
        shape = [star[i] if i % 2 == 0 else inner[i] for i in range(10)]
        canvas.polygon(shape, "#f5a623" if number < stars else "#d7dbe1")
    canvas.text(x0 + 12, y0 + 192, price, 21, "#111827", bold=True)
    canvas.rect((x0 + 12, y1 - 46, x1 - 12, y1 - 12), "#1f7a4d", radius=6)
    canvas.text((x0 + x1) / 2, y1 - 29, "Add to cart", 15, "#ffffff", anchor="mm")


@picture("ui_screens", "web_shop.png")
def web_shop(rng: np.random.Generator) -> Picture:
    """A web shop in a browser: header with search field and cart, filters, four products."""
    canvas = Canvas(768, 576, "#f3f5f8")
    browser(canvas, "Hearth & Trail - Shop", "https://shop.hearthandtrail.example/new")
    canvas.rect((0, 69, 768, 125), "#14324a")
    canvas.text(24, 97, "Hearth & Trail", 24, "#ffffff", anchor="lm", bold=True)
    canvas.rect((238, 81, 572, 113), "#ffffff", radius=16)
    canvas.text(256, 97, "Search products...", 15, "#8a93a0", anchor="lm")
    canvas.ellipse(548, 95, 6, outline="#14324a", width=2)
    canvas.line([(552, 99), (558, 105)], "#14324a", 2.4)
    canvas.text(600, 97, "Sign in", 15, "#ffffff", anchor="lm")
    canvas.line(pts("678,86 686,86 692,104 714,104 718,91 688,91"), "#ffffff", 2.2)
    for x in (696, 711):
        canvas.ellipse(x, 110, 3, fill="#ffffff")
    canvas.ellipse(722, 84, 10, fill="#e8452c")
    canvas.text(722, 84, "2", 13, "#ffffff", anchor="mm", bold=True)
    for x, name in ((24, "Home"), (96, "New"), (158, "Outdoor"), (246, "Kitchen"), (332, "Garden"), (414, "Sale")):
        canvas.text(x, 146, name, 16, "#c0341d" if name == "Sale" else "#14324a", anchor="lm", bold=name == "New")
    canvas.rect((94, 160, 132, 163), "#e8452c")
    canvas.line([(0, 165), (768, 165)], "#d8dde4", 1)
    canvas.text(24, 184, "New arrivals", 26, "#14324a", bold=True)
    canvas.text(744, 200, "Sort by: Popular  v", 14, "#4b5563", anchor="rm")
    products = (
        (_backpack, "Trail backpack", "$64.90", 5),
        (_mug, "Stoneware mug", "$14.50", 4),
        (_lamp, "Desk lamp", "$39.00", 4),
        (_plant, "Potted plant", "$22.00", 3),
    )
    for number, (icon, name, price, stars) in enumerate(products):
        _product(canvas, (24 + number * 183, 230, 195 + number * 183, 508), icon, name, price, stars)
    canvas.rect((0, 530, 768, 576), "#e4e9ef")
    canvas.text(
        384, 553, "Free shipping over $50   ·   30 days return   ·   Help & contact", 14, "#4b5563", anchor="mm"
    )
    return canvas.finish(), (
        "The web page of the shop 'Hearth & Trail' in a browser, on the tab 'New arrivals': a trail backpack for "
        "$64.90, a stoneware mug for $14.50, a desk lamp for $39.00 and a potted plant for $22.00, each with an "
        "'Add to cart' button. The cart shows 2 items."
    )


def _toggle(canvas: Canvas, x: float, y: float, on: bool) -> None:
    """A switch whose right end is at x."""
    canvas.rect((x - 46, y - 14, x, y + 14), "#34c759" if on else "#d5d6db", radius=14)
    canvas.ellipse(x - 14 if on else x - 32, y, 12, fill="#ffffff")


def _status_bar(canvas: Canvas, left: float, right: float, y: float) -> None:
    """The clock, the signal and the battery of a phone."""
    canvas.text(left, y, "9:41", 16, "#111111", anchor="lm", bold=True)
    for number in range(4):
        canvas.rect(
            (right - 66 + number * 6, y + 6 - 3 * (number + 1), right - 62 + number * 6, y + 6), "#111111", radius=1
        )
    canvas.rect((right - 32, y - 6, right - 4, y + 7), None, "#111111", 1.4, radius=3)
    canvas.rect((right - 30, y - 4, right - 12, y + 5), "#111111", radius=1)
    canvas.rect((right - 3, y - 2, right, y + 3), "#111111", radius=1)


SETTINGS: list[tuple[str, str, bool | str]] = [
    ("Airplane mode", "#ff9500", False),
    ("Wi-Fi", "#0a7aff", "HomeNet"),
    ("Bluetooth", "#0a7aff", True),
    ("Mobile data", "#34c759", True),
    ("Notifications", "#ff3b30", True),
    ("Dark mode", "#5856d6", False),
    ("Battery", "#34c759", "82%"),
]


@picture("ui_screens", "phone_settings.png")
def phone_settings(rng: np.random.Generator) -> Picture:
    """The settings screen of a phone with a profile, six switches or values and a home bar."""
    canvas = Canvas(448, 768, "#c7d3e3")
    canvas.shadow((54, 24, 394, 744), 12, 0.4, radius=46)
    canvas.rect((54, 24, 394, 744), "#16181d", radius=46)
    canvas.rect((64, 34, 384, 734), "#f2f2f7", radius=38)
    canvas.rect((174, 42, 274, 64), "#16181d", radius=11)
    _status_bar(canvas, 86, 366, 54)
    canvas.text(84, 84, "Settings", 32, "#111111", bold=True)
    canvas.rect((78, 136, 370, 208), "#ffffff", radius=14)
    canvas.ellipse(116, 172, 25, fill="#5b8def")
    canvas.text(116, 172, "MK", 20, "#ffffff", anchor="mm", bold=True)
    canvas.text(154, 162, "Maya Keller", 20, "#111111", anchor="lm")
    canvas.text(154, 186, "Account, cloud, payments", 14, "#7b7b82", anchor="lm")
    tops = [224 + 54 * n + (16 if n >= 4 else 0) for n in range(len(SETTINGS))]
    for first, last in ((0, 3), (4, 6)):
        canvas.rect((78, tops[first], 370, tops[last] + 54), "#ffffff", radius=14)
    for number, (name, colour, state) in enumerate(SETTINGS):
        middle = tops[number] + 27
        canvas.rect((92, middle - 16, 124, middle + 16), colour, radius=8)
        canvas.text(108, middle, name[0], 19, "#ffffff", anchor="mm", bold=True)
        canvas.text(138, middle, name, 18, "#111111", anchor="lm")
        if isinstance(state, bool):
            _toggle(canvas, 356, middle, state)
        else:
            canvas.text(338, middle, state, 17, "#7b7b82", anchor="rm")
            canvas.line([(346, middle - 6), (353, middle), (346, middle + 6)], "#b9b9c0", 2)
        if number not in (3, 6):
            canvas.line([(138, tops[number] + 54), (370, tops[number] + 54)], "#dcdce1", 1)
    canvas.rect((166, 716, 282, 721), "#111111", radius=2.5)
    return canvas.finish(), (
        "A phone with its settings screen, profile Maya Keller. Bluetooth, mobile data and notifications are "
        "switched on, airplane mode and dark mode off; Wi-Fi is connected to HomeNet and the battery is at 82%."
    )


def _field(canvas: Canvas, y: float, label: str, value: str, wrong: bool) -> None:
    """A labelled text field of the login form, red when its value is wrong."""
    canvas.text(176, y, label, 15, "#374151")
    canvas.rect(
        (176, y + 24, 464, y + 66),
        "#fff5f5" if wrong else "#ffffff",
        "#dc2626" if wrong else "#c3cad5",
        2 if wrong else 1.3,
        radius=7,
    )
    if value == "*":
        for number in range(8):
            canvas.ellipse(194 + number * 13, y + 45, 4, fill="#1f2937")
    else:
        canvas.text(190, y + 45, value, 17, "#1f2937", anchor="lm")


@picture("ui_screens", "login_error.png")
def login_error(rng: np.random.Generator) -> Picture:
    """A login form in a browser after a wrong password: red banner, red field, button."""
    canvas = Canvas(640, 592, "#e8eef7")
    browser(canvas, "Sign in - Pinewood", "https://portal.pinewood.example/login")
    canvas.gradient((0, 69, 640, 592), [(0, "#dfe9fb"), (1, "#f4f7fc")])
    canvas.shadow((144, 92, 496, 572), 9, 0.2, radius=14)
    canvas.rect((144, 92, 496, 572), "#ffffff", radius=14)
    canvas.polygon([(320, 106), (340, 142), (300, 142)], "#1f6f54")
    canvas.polygon([(320, 118), (344, 156), (296, 156)], "#2b8a68")
    canvas.text(320, 166, "Sign in to Pinewood", 25, "#14213d", anchor="ma", bold=True)
    canvas.rect((176, 210, 464, 266), "#fde8e8", "#f1a3a3", 1.2, radius=7)
    canvas.ellipse(200, 238, 12, fill="#dc2626")
    canvas.text(200, 238, "!", 18, "#ffffff", anchor="mm", bold=True)
    canvas.lines(222, 219, ("Wrong e-mail or password.", "2 attempts left."), 16, "#9b1c1c", step=1.3)
    _field(canvas, 282, "E-mail", "anna.berg@mail.example", False)
    _field(canvas, 362, "Password", "*", True)
    canvas.text(464, 364, "Forgot password?", 14, "#2563eb", anchor="ra")
    canvas.rect((176, 444, 194, 462), "#2563eb", radius=4)
    canvas.line([(180, 453), (184, 457), (191, 448)], "#ffffff", 2)
    canvas.text(204, 453, "Keep me signed in", 15, "#374151", anchor="lm")
    canvas.rect((176, 478, 464, 522), "#2563eb", radius=8)
    canvas.text(320, 500, "Sign in", 18, "#ffffff", anchor="mm", bold=True)
    canvas.text(320, 548, "No account yet?  Register", 14, "#4b5563", anchor="mm")
    return canvas.finish(), (
        "A login page titled 'Sign in to Pinewood' in a browser. A red message says 'Wrong e-mail or password. 2 "
        "attempts left.'; the e-mail anna.berg@mail.example is filled in, the password field is outlined in red, "
        "and 'Keep me signed in' is ticked."
    )


EVENTS = {
    3: [("Dentist", "#2f80ed")],
    7: [("Team call", "#8e5bd6")],
    9: [("Tom is 8", "#ef8f2f")],
    14: [("Football", "#27a35f"), ("Dinner", "#2f80ed")],
    17: [("Report", "#8e5bd6")],
    21: [("Football", "#27a35f")],
    25: [("Picnic", "#2f80ed")],
    28: [("Football", "#27a35f")],
}


def _day(canvas: Canvas, x: float, y: float, number: int, events: list[tuple[str, str]]) -> None:
    """A day of the calendar with its events; the 14th is today."""
    if number == 14:
        canvas.ellipse(x + 14, y + 14, 12, fill="#e5484d")
    canvas.text(
        x + 14, y + 14, str(number), 14, "#ffffff" if number == 14 else "#333b48", anchor="mm", bold=number == 14
    )
    for place, (name, colour) in enumerate(events):
        canvas.rect((x + 3, y + 29 + place * 20, x + 68, y + 46 + place * 20), colour, radius=4)
        canvas.text(x + 8, y + 37.5 + place * 20, name, 11.5, "#ffffff", anchor="lm")


@picture("ui_screens", "tablet_calendar.png")
def tablet_calendar(rng: np.random.Generator) -> Picture:
    """A tablet in landscape with a month calendar, a side bar of calendars and a button for new events."""
    canvas = Canvas(768, 560, "#cfc6ba")
    canvas.shadow((18, 18, 750, 542), 10, 0.4, radius=30)
    canvas.rect((18, 18, 750, 542), "#1b1d22", radius=30)
    canvas.rect((42, 42, 726, 518), "#ffffff", radius=6)
    canvas.rect((42, 42, 210, 518), "#f2f4f8")
    canvas.text(60, 60, "Calendar", 23, "#1f2937", bold=True)
    for number, (name, colour) in enumerate(
        (("Family", "#2f80ed"), ("Work", "#8e5bd6"), ("Sport", "#27a35f"), ("Birthdays", "#ef8f2f"))
    ):
        canvas.rect((60, 108 + number * 36, 78, 126 + number * 36), colour, radius=4)
        canvas.line([(64, 117 + number * 36), (68, 121 + number * 36), (75, 112 + number * 36)], "#ffffff", 2)
        canvas.text(90, 117 + number * 36, name, 16, "#374151", anchor="lm")
    canvas.rect((60, 460, 192, 500), "#e5484d", radius=20)
    canvas.text(126, 480, "+ New event", 16, "#ffffff", anchor="mm", bold=True)
    canvas.text(226, 58, "May 2024", 26, "#1f2937", bold=True)
    for number, name in enumerate(("Day", "Week", "Month")):
        box = (524 + number * 64, 58, 584 + number * 64, 86)
        canvas.rect(box, "#1f2937" if name == "Month" else "#eceff4", radius=7)
        canvas.text(554 + number * 64, 72, name, 14, "#ffffff" if name == "Month" else "#374151", anchor="mm")
    for column, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")):
        canvas.text(258 + column * 72, 106, name, 13, "#6b7280", anchor="mm")
    for number in range(1, 32):
        row, column = divmod(number + 1, 7)
        x, y = 218 + column * 72, 120 + row * 78
        canvas.rect((x, y, x + 72, y + 78), "#fbfbfd" if column > 4 else "#ffffff", "#e3e6ec", 1)
        _day(canvas, x, y, number, EVENTS.get(number, []))
    return canvas.finish(), (
        "A tablet that shows a calendar app in the month view of May 2024, with the 14th marked as today. Coloured "
        "entries include Dentist on the 3rd, Team call on the 7th, Football on the 14th, 21st and 28th and Picnic "
        "on the 25th."
    )
