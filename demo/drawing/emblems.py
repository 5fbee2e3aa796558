"""The emblems of posters and the seals of pages."""

from __future__ import annotations

from .canvas import Canvas, Point, ellipse_points, mix, smooth


def paint_rosette(canvas: Canvas, x: float, y: float, radius: float, colour: str) -> None:
    """A seal of wax or paper with two ribbons."""
    for side in (-1, 1):
        tail = [(x, y), (x + side * radius * 0.9, y + radius * 1.5), (x + side * radius * 0.25, y + radius * 1.35)]
        canvas.polygon(tail, mix(colour, "#000000", 0.25))
    rings = zip(
        ellipse_points((x, y), (radius, radius), steps=18),
        ellipse_points((x, y), (radius * 0.86, radius * 0.86), turn=10, steps=18),
        strict=True,
    )
    canvas.polygon([point for pair in rings for point in pair], colour)
    canvas.ellipse(x, y, radius * 0.62, fill=mix(colour, "#ffffff", 0.2), outline=mix(colour, "#000000", 0.25), width=2)


def _spikes(x: float, y: float, points: int, outer: float, inner: float) -> list[Point]:
    """The outline of a star with one point upwards."""
    far = ellipse_points((x, y), (outer, outer), -90, steps=points)[:-1]
    near = ellipse_points((x, y), (inner, inner), -90 + 180 / points, steps=points)[:-1]
    return [point for pair in zip(far, near, strict=True) for point in pair]


def paint_emblem(canvas: Canvas, x: float, y: float, size: float, emblem: str, ink: str, ground: str) -> None:
    """The picture on a poster, of one colour, about twice `size` wide and high."""
    if emblem == "star":
        canvas.polygon(_spikes(x, y, 5, size, size * 0.42), ink)
    elif emblem == "sun":
        canvas.polygon(_spikes(x, y, 12, size, size * 0.66), ink)
        canvas.ellipse(x, y, size * 0.52, fill=ink, outline=ground, width=4)
    elif emblem == "moon":
        outer = ellipse_points((x, y), (size * 0.9, size * 0.9), arc=(40, 290), steps=40)
        inner = ellipse_points((x + size * 0.3, y - size * 0.08), (size * 0.68, size * 0.78), arc=(62, 280), steps=40)
        canvas.polygon([*outer, *inner[::-1]], ink)
    elif emblem == "heart":
        for side in (-1, 1):
            canvas.ellipse(x + side * size * 0.42, y - size * 0.3, size * 0.46, fill=ink)
        canvas.polygon([(x - size * 0.83, y - size * 0.1), (x, y - size * 0.4), (x + size * 0.83, y - size * 0.1),
                        (x, y + size * 0.9)], ink)  # fmt: skip
    elif emblem == "note":
        for stem in (-0.5, 0.5):
            canvas.ellipse(x + size * (stem - 0.2), y + size * 0.6, size * 0.3, size * 0.23, ink)
            canvas.line([(x + size * stem, y + size * 0.6), (x + size * stem, y - size * 0.7)], ink, size * 0.13)
        canvas.rect((x - size * 0.56, y - size * 0.85, x + size * 0.56, y - size * 0.55), ink)
    elif emblem == "tree":
        canvas.rect((x - size * 0.13, y + size * 0.4, x + size * 0.13, y + size), ink)
        for tier in range(3):
            half, low = size * (0.5 + 0.14 * tier), y + size * (-0.3 + 0.4 * tier)
            canvas.polygon([(x - half, low), (x, low - size * 0.7), (x + half, low)], ink)
    elif emblem == "fish":
        canvas.ellipse(x - size * 0.2, y, size * 0.8, size * 0.46, ink)
        canvas.polygon([(x + size * 0.4, y), (x + size, y - size * 0.5), (x + size, y + size * 0.5)], ink)
        canvas.ellipse(x - size * 0.62, y - size * 0.1, size * 0.09, fill=ground)
    else:
        canvas.line(
            smooth([(x, y + size * 0.4), (x + 8, y + size * 0.7), (x - 6, y + size)], steps=6), ink, size * 0.06
        )
        canvas.ellipse(x, y - size * 0.28, size * 0.58, size * 0.72, ink)
        canvas.ellipse(x - size * 0.2, y - size * 0.52, size * 0.1, size * 0.18, ground)
