"""Infographic & Document: a receipt, a concert poster, an invoice, street signs."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import Canvas, Point, ellipse_points, faded, mix, noise, pts, smooth
from .registry import Picture, picture
from .shapes import broadleaf, cloud


def _wood(canvas: Canvas, rng: np.random.Generator) -> None:
    """Fill the canvas with the boards of a wooden table."""
    grain = np.repeat(noise(rng, canvas.width, 40, 9, octaves=2), -(-canvas.height // 40), axis=0)[: canvas.height]
    grain = 0.6 * grain + 0.4 * noise(rng, canvas.width, canvas.height, 70)
    dark, light = np.array([104, 66, 38]), np.array([168, 116, 72])
    pixels = (dark + (light - dark) * grain[..., None]).astype(np.uint8)
    canvas.image.paste(Image.fromarray(pixels).resize(canvas.image.size, Image.Resampling.BILINEAR))
    for x in range(0, canvas.width, 112):
        canvas.rect((x, 0, x + 2, canvas.height), faded("#2b1708", 0.6))


def _lay_down(table: Canvas, sheet: Canvas, outline: list[Point], at: Point, turn: float) -> None:
    """Lay a sheet, cut along `outline`, on the table at the centre `at`, turned by `turn` degrees, with its shadow."""
    cut = Image.new("L", sheet.image.size)
    ImageDraw.Draw(cut).polygon([(x * sheet.scale, y * sheet.scale) for x, y in outline], 255)
    turned = sheet.image.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    mask = cut.rotate(turn, Image.Resampling.BICUBIC, expand=True)
    corner = (round(at[0] * table.scale - turned.width / 2), round(at[1] * table.scale - turned.height / 2))
    shade = Image.new("L", table.image.size)
    shade.paste(mask.point(lambda value: value * 0.5), (corner[0] + 5 * table.scale, corner[1] + 7 * table.scale))
    table.blend(Image.new("RGB", table.image.size), shade.filter(ImageFilter.GaussianBlur(5 * table.scale)))
    table.image.paste(turned, corner, mask)


def _barcode(canvas: Canvas, rng: np.random.Generator, x0: float, y0: float, x1: float, y1: float) -> None:
    """The bars of a bar code."""
    x = x0
    while x < x1 - 4:
        bar = float(rng.integers(1, 4))
        canvas.rect((x, y0, x + bar, y1), "#222222")
        x += bar + float(rng.integers(1, 4))


BREAKFAST = (
    ("2 Flat white", 3.40 * 2),
    ("1 Green tea", 2.80),
    ("1 Croissant", 2.50),
    ("2 Cheese toast", 4.20 * 2),
    ("1 Carrot cake", 3.90),
)


@picture("infographic_documents", "receipt.jpg")
def receipt(rng: np.random.Generator) -> Picture:
    """A café receipt of five items on a wooden table."""
    table, sheet = Canvas(512, 704), Canvas(330, 610, "#fbfaf5")
    _wood(table, rng)
    sheet.text(165, 24, "CORNER CAFE", 27, anchor="ma", bold=True)
    for number, line in enumerate(("12 Mill Lane, Ashford", "Tel. 01632 960 144", "2024-05-18  09:42   Table 7")):
        sheet.mono(165 - len(line) * 4.34, 62 + number * 20, line, 14, "#333333")
    sheet.dashed((22, 132), (308, 132), "#333333", 1.5)
    rows = [*BREAKFAST, ("", 0.0), ("Subtotal", sum(price for _, price in BREAKFAST))]
    rows += [("VAT 10%", round(rows[-1][1] * 0.1, 2))]
    total = rows[-2][1] + rows[-1][1]
    for number, (name, price) in enumerate(rows):
        y = 146 + number * 26
        if not name:
            sheet.dashed((22, y + 11), (308, y + 11), "#333333", 1.5)
            continue
        amount = f"{price:.2f}"
        sheet.mono(22, y, name, 16)
        sheet.mono(308 - len(amount) * 9.92, y, amount, 16)
    sheet.line([(22, 362), (308, 362)], "#222222", 2)
    sheet.mono(22, 376, "TOTAL", 22, bold=True)
    sheet.mono(308 - len(f"${total:.2f}") * 13.64, 376, f"${total:.2f}", 22, bold=True)
    sheet.mono(22, 416, "Card **** 4821", 15, "#333333")
    sheet.dashed((22, 448), (308, 448), "#333333", 1.5)
    sheet.text(165, 462, "Thank you, see you again!", 17, anchor="ma")
    _barcode(sheet, rng, 60, 496, 272, 556)
    sheet.mono(165 - 13 * 4.34, 560, "4006381 09427", 14)
    teeth = [(330 - 330 * n / 44, 610 - (0 if n % 2 else 8)) for n in range(45)]
    _lay_down(table, sheet, [(0, 0), (330, 0), *teeth], (256, 352), 3.5)
    return table.finish(), (
        "A paper receipt from the Corner Cafe on a wooden table: two flat whites, a green tea, a croissant, two "
        f"cheese toasts and a carrot cake. The subtotal is 24.40, VAT 10% is 2.44 and the total ${total:.2f}, paid "
        "by card."
    )


def _saxophone(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A golden saxophone around (x, y)."""
    knots = pts("-30,-96 -6,-100 6,-82 8,-30 10,30 18,66 42,78 62,58 70,20 82,-8")
    path = smooth([(x + px * size / 100, y + py * size / 100) for px, py in knots], steps=40)
    for shade, shift in (("#8a5a12", 0.018), ("#e9b23a", 0.0), ("#fbe08a", -0.02)):
        for number, (px, py) in enumerate(path):
            share = number / len(path)
            thick = size * (0.022 + 0.085 * share**1.5 + (0.1 * (share - 0.86) / 0.14 if share > 0.86 else 0))
            if shade == "#fbe08a":
                thick *= 0.3
            canvas.ellipse(px + shift * size, py + max(shift, 0) * size, thick, fill=shade)
    end = path[-1]
    canvas.ellipse(
        end[0] + size * 0.02,
        end[1] - size * 0.02,
        size * 0.215,
        size * 0.08,
        "#5c3a0a",
        turn=24,
        outline="#fbe08a",
        width=3,
    )
    canvas.line(
        [(x - size * 0.3, y - size * 0.96), (x - size * 0.44, y - size * 0.88)], "#17171c", size * 0.06, caps=True
    )
    for number in range(6):
        canvas.ellipse(
            x + size * 0.085,
            y + size * (-0.58 + number * 0.17),
            size * 0.04,
            fill="#fff3c4",
            outline="#8a5a12",
            width=2,
        )


def _note(canvas: Canvas, x: float, y: float, size: float, colour: str, turn: float = 0) -> None:
    """A pair of beamed quavers."""

    def at(px: float, py: float) -> Point:
        angle = math.radians(turn)
        return (
            x + size * (px * math.cos(angle) - py * math.sin(angle)),
            y + size * (px * math.sin(angle) + py * math.cos(angle)),
        )

    for px in (-0.5, 0.5):
        canvas.ellipse(*at(px - 0.14, 0.5), size * 0.19, size * 0.14, colour, turn=turn - 20)
        canvas.line([at(px, 0.48), at(px, -0.5)], colour, size * 0.08)
    canvas.polygon([at(-0.54, -0.55), at(0.54, -0.55), at(0.54, -0.33), at(-0.54, -0.33)], colour)


@picture("infographic_documents", "poster.jpg")
def poster(rng: np.random.Generator) -> Picture:
    """The poster of an open-air jazz concert with a saxophone before the moon."""
    canvas = Canvas(512, 736)
    canvas.gradient((0, 0, 512, 736), [(0, "#141038"), (0.55, "#4a1f63"), (0.8, "#b13f6b"), (1, "#f08a5d")])
    for _ in range(90):
        canvas.ellipse(
            rng.uniform(0, 512),
            rng.uniform(0, 420),
            rng.uniform(0.5, 1.5),
            fill=faded("#ffffff", rng.uniform(0.3, 0.9)),
        )
    canvas.glow(256, 380, 230, "#ffdf9e", 0.55)
    canvas.ellipse(256, 380, 138, fill="#ffe9b8")
    for x, y, radius in ((200, 330, 20), (318, 420, 27), (230, 450, 14), (310, 320, 12)):
        canvas.ellipse(x, y, radius, fill="#f3d595")
    _saxophone(canvas, 232, 388, 150)
    for x, y, size, turn in ((92, 300, 40, -12), (430, 300, 46, 14), (84, 448, 30, 8), (446, 462, 34, -10)):
        _note(canvas, x, y, size, "#ffd166", turn)
    canvas.text(256, 40, "SUMMER", 54, "#ffffff", anchor="ma", bold=True)
    canvas.text(256, 100, "JAZZ NIGHT", 70, "#ffd166", anchor="ma", bold=True)
    canvas.text(256, 186, "Live open-air concert", 23, "#ffffff", anchor="ma")
    canvas.rect((0, 560, 512, 736), faded("#0e0a26", 0.78))
    canvas.text(256, 574, "SATURDAY 14 JUNE", 34, "#ffffff", anchor="ma", bold=True)
    canvas.text(256, 620, "8 pm  ·  Riverside Park", 26, "#ffd166", anchor="ma")
    canvas.rect((136, 664, 376, 708), "#e63956", radius=22)
    canvas.text(256, 686, "FREE ENTRY", 24, "#ffffff", anchor="mm", bold=True)
    return canvas.finish(), (
        "A concert poster: 'Summer Jazz Night, live open-air concert, Saturday 14 June, 8 pm, Riverside Park, free "
        "entry'. A golden saxophone and musical notes stand before a large full moon in a purple night sky."
    )


def _letterhead(canvas: Canvas) -> None:
    """The head of the invoice: a leaf in a green disc, the name and the address of the firm."""
    canvas.ellipse(72, 68, 30, fill="#2f8f5b")
    canvas.blob(pts("72,46 90,60 84,82 70,88 58,74"), "#ffffff")
    canvas.curve(pts("66,92 72,74 80,60"), "#2f8f5b", 2)
    canvas.text(114, 44, "GREENLEAF GARDENS", 24, "#1d3b2a", bold=True)
    canvas.text(114, 76, "8 Orchard Road, Millbrook  ·  hello@greenleaf.example", 13, "#5c6b62")
    canvas.line([(40, 116), (560, 116)], "#2f8f5b", 2)


def _invoice_table(canvas: Canvas, rows: list[tuple[str, int, float]], top: float) -> float:
    """The items of the invoice with quantity, price and amount; returns the sum."""
    columns = (48, 372, 458, 552)
    canvas.rect((40, top, 560, top + 30), "#244b7a")
    for x, name in zip(columns, ("Description", "Qty", "Price", "Amount"), strict=True):
        canvas.text(x, top + 15, name, 15, "#ffffff", anchor="lm" if x == 48 else "rm", bold=True)
    for number, (name, count, price) in enumerate(rows):
        y = top + 30 + number * 32
        canvas.rect((40, y, 560, y + 32), "#f1f5fa" if number % 2 else "#ffffff")
        cells = (name, str(count), f"{price:.2f}", f"{count * price:.2f}")
        for x, cell in zip(columns, cells, strict=True):
            canvas.text(x, y + 16, cell, 15, anchor="lm" if x == 48 else "rm")
    canvas.line([(40, top + 30 + 32 * len(rows)), (560, top + 30 + 32 * len(rows))], "#244b7a", 1.5)
    return sum(count * price for _, count, price in rows)


@picture("infographic_documents", "invoice.png")
def invoice(rng: np.random.Generator) -> Picture:
    """An invoice of a garden firm: letterhead, addresses, four items, tax and total."""
    canvas = Canvas(600, 768)
    _letterhead(canvas)
    canvas.text(40, 136, "INVOICE", 34, "#244b7a", bold=True)
    facts = {"Invoice no.": "2024-0173", "Date": "3 April 2024", "Due": "17 April 2024"}
    for number, (name, value) in enumerate(facts.items()):
        canvas.text(400, 138 + number * 22, name, 14, "#5c6b62")
        canvas.text(560, 138 + number * 22, value, 14, anchor="ra")
    canvas.text(40, 194, "Bill to", 13, "#5c6b62")
    canvas.lines(40, 214, ("Mrs Ellen Hart", "27 Station Street", "Millbrook MB4 2RT"), 15)
    rows = [
        ("Hedge trimming (hours)", 6, 32.0),
        ("Apple trees, planted", 3, 48.5),
        ("Compost, 50 l bags", 10, 7.2),
        ("Waste removal", 1, 40.0),
    ]
    net = _invoice_table(canvas, rows, 300)
    tax = round(net * 0.2, 2)
    for number, (name, amount) in enumerate((("Net", net), ("VAT 20%", tax))):
        canvas.text(458, 482 + number * 26, name, 15, "#5c6b62", anchor="ra")
        canvas.text(552, 482 + number * 26, f"{amount:.2f}", 15, anchor="ra")
    canvas.rect((330, 540, 560, 580), "#e8f0f9", radius=4)
    canvas.text(458, 560, "Total due", 17, "#244b7a", anchor="rm", bold=True)
    canvas.text(552, 560, f"${net + tax:.2f}", 18, "#244b7a", anchor="rm", bold=True)
    closing = ("Please pay within 14 days to account 20-45-53 / 7712 0945.", "Thank you for your business.")
    canvas.lines(40, 612, closing, 14, "#444444")
    canvas.curve(pts("50,694 62,668 70,700 84,676 92,694 112,682 124,692 150,676 190,684"), "#1f3f94", 2)
    canvas.line([(40, 712), (240, 712)], "#888888", 1)
    canvas.text(40, 718, "R. Moss, owner", 13, "#5c6b62")
    return canvas.finish(), (
        "An invoice from Greenleaf Gardens to Mrs Ellen Hart, number 2024-0173 of 3 April 2024, for hedge "
        f"trimming, three apple trees, ten bags of compost and waste removal. Net {net:.2f} plus 20% VAT makes a "
        f"total of ${net + tax:.2f}; it is signed by R. Moss."
    )


def _name_plate(canvas: Canvas, box: tuple[float, float, float, float], name: str) -> None:
    """A green street-name plate with a white border."""
    canvas.shadow((box[0] + 2, box[1] + 4, box[2] + 2, box[3] + 4), 3, 0.4)
    canvas.rect(box, "#0d6b3f", "#ffffff", 3, radius=7)
    canvas.text((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, name, 33, "#ffffff", anchor="mm", bold=True)


@picture("infographic_documents", "street_sign.jpg")
def street_sign(rng: np.random.Generator) -> Picture:
    """Street-name plates and a stop sign on a pole before the sky, with trees out of focus."""
    canvas = Canvas(640, 512)
    canvas.gradient((0, 0, 640, 512), [(0, "#3f8fd6"), (1, "#dcedf8")])
    cloud(canvas, 110, 110, 56)
    cloud(canvas, 545, 210, 48)
    for x, height in ((40, 190), (150, 150), (520, 170), (612, 210)):
        broadleaf(canvas, rng, x, 500, height, "#5b9149")
    canvas.rect((0, 492, 640, 512), "#8b9a6a")
    canvas.image = canvas.image.filter(ImageFilter.GaussianBlur(3.5 * canvas.scale))
    canvas.draw = ImageDraw.Draw(canvas.image, "RGBA")
    canvas.gradient((311, 26, 329, 512), [(0, "#7d848c"), (0.4, "#dfe4e8"), (1, "#6b7178")], horizontal=True)
    canvas.ellipse(320, 26, 9, 4, "#a9b0b7")
    _name_plate(canvas, (188, 44, 452, 104), "OAK STREET")
    _name_plate(canvas, (204, 116, 436, 176), "RIVER RD")
    ring = ellipse_points((320, 316), (122, 122), turn=22.5, steps=8)
    canvas.polygon([(x + 4, y + 6) for x, y in ring], faded("#000000", 0.25))
    canvas.polygon(ring, "#ffffff")
    canvas.polygon(ellipse_points((320, 316), (112, 112), turn=22.5, steps=8), "#c1121f")
    canvas.text(320, 316, "STOP", 72, "#ffffff", anchor="mm", bold=True)
    for y in (226, 406):
        canvas.ellipse(320, y, 4, fill=mix("#c1121f", "#ffffff", 0.55))
    return canvas.finish(), (
        "A pole at a crossroads with two green street-name signs, 'OAK STREET' and 'RIVER RD', above a red "
        "octagonal STOP sign. Behind it are a blue sky with clouds and blurred trees."
    )
