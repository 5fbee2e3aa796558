"""Medical & Bio-Imaging: chest X-rays, blood smears under the microscope, ECG strips, figures of case reports."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from ..scene import SIDE, Claim, Kind, Picture, Statement
from .anatomy import MIDDLE, ZONES, chest_film, paint_pacer
from .canvas import Box, Canvas, Point, faded, mix
from .chance import pick, sample
from .tissue import cell_places, paint_cell, paint_spot

DOMAIN = "Medical & Bio-Imaging"
AGENTS = ("view", "findings", "impression")

COUNTS = ("one", "two", "three", "four", "five", "six", "seven")
SIDES = ("left", "right")
NUMBERS = tuple(str(number) for number in range(12, 92, 2))


# --- chest X-ray ---------------------------------------------------------------------------------------------------

FILM = Statement(
    "film",
    "view",
    "chest X-ray, marker {letter}",
    "This is a chest X-ray with a marker {letter}.",
    {"letter": ("L", "R")},
)
FILM_NUMBER = Statement(
    "film_number", "view", "film {number}", "The film has the number {number}.", {"number": NUMBERS}
)
OPACITY = Statement(
    "opacity",
    "findings",
    "{level} {side}: {size} opacity",
    "At the {level} {side} lies a {size} round opacity.",
    {"level": ("upper", "middle", "lower"), "side": SIDES, "size": ("small", "large")},
    key=("level", "side"),
)
HEART = Statement("heart", "findings", "heart {size}", "The heart is {size}.", {"size": ("normal", "enlarged")})
PACER = Statement(
    "pacer", "findings", "pacemaker {side}", "A pacemaker sits on the {side} of the picture.", {"side": SIDES}
)
LUNG = Statement(
    "lung",
    "impression",
    "patient's {lung} affected",
    "The disease affects the patient's {lung}.",
    {"lung": ("left lung", "right lung", "left and right lungs")},
)
OPACITIES = Statement(
    "opacities",
    "impression",
    "{count} in all",
    "In all there (is|are) {count} opacit(y|ies).",
    {"count": COUNTS[:3]},
)


def _opacities(rng: np.random.Generator, enlarged: bool) -> list[Claim]:
    # A large heart hides the lower right of the picture.
    places = [
        (level, side) for level in ZONES for side in SIDES if not (enlarged and (level, side) == ("lower", "right"))
    ]
    chosen = sample(rng, places, int(rng.integers(1, 4)))
    order = sorted(chosen, key=places.index)
    return [OPACITY(level=level, side=side, size=pick(rng, ("small", "large"))) for level, side in order]


def draw_chest(rng: np.random.Generator, scale: int) -> Picture:
    """A frontal chest X-ray with one to three round opacities; left and right are the picture's."""
    canvas, enlarged = Canvas(SIDE, SIDE, "#000000", scale), bool(rng.integers(2))
    size = (float(rng.uniform(0.72, 0.8)), float(rng.uniform(0.65, 0.71)))
    shift = (float(rng.uniform(-10, 10)), float(rng.uniform(4, 16)))
    tint = pick(rng, ("#ffffff", "#e9f2ff", "#f4f1e8"))
    film = ImageOps.colorize(chest_film(rng, (size, shift), enlarged), "#000000", tint)
    canvas.image.paste(film.resize(canvas.image.size, Image.Resampling.BILINEAR))

    def at(x: float, y: float) -> Point:
        return (SIDE / 2 + shift[0] + x * size[0], SIDE / 2 + shift[1] + (y - MIDDLE[1]) * size[1])

    opacities = _opacities(rng, enlarged)
    for claim in opacities:
        x, y = ZONES[claim.values["level"]]
        place = at((x if claim.values["side"] == "right" else -x) + rng.uniform(-9, 9), y + rng.uniform(-6, 6))
        radius = (22 if claim.values["size"] == "small" else 40) * rng.uniform(0.92, 1.08)
        canvas.light(place, radius, "#f6f6f6", 2.4)
    free = [side for side in SIDES if not any(claim.key == ("opacity", "upper", side) for claim in opacities)]
    pacer = []
    if len(opacities) < 3 and free and rng.random() < 0.5:
        side = pick(rng, free)
        paint_pacer(canvas, at(150 if side == "right" else -150, 160 + rng.uniform(-10, 10)), at(30, 420))
        pacer = [PACER(side=side)]
    letter, number = pick(rng, ("L", "R")), pick(rng, NUMBERS)
    corner, other = (SIDE - 14 - rng.uniform(0, 8), 14 + rng.uniform(0, 8))[:: 1 if letter == "L" else -1]
    canvas.text(corner, 8 + rng.uniform(0, 10), letter, 46, tint, anchor="ra" if letter == "L" else "la", bold=True)
    canvas.text(other, 10 + rng.uniform(0, 10), number, 38, tint, anchor="la" if letter == "L" else "ra")
    # Facing us, the patient has his left lung at our right.
    sides = {claim.values["side"] for claim in opacities}
    lung = "left and right lungs" if len(sides) == 2 else "left lung" if "right" in sides else "right lung"
    heart = HEART(size="enlarged" if enlarged else "normal")
    claims = (FILM(letter=letter), FILM_NUMBER(number=number), *opacities, heart, *pacer)
    total = OPACITIES(count=COUNTS[len(opacities) - 1])
    return Picture(canvas.finish(), (*claims, LUNG(lung=lung), total))


# --- blood smear ---------------------------------------------------------------------------------------------------

STAINS = {"pink": "#f7cbd9", "yellow": "#f6e7a8", "blue": "#bddaf4", "green": "#c6e7c2", "grey": "#d3d3d6"}
CELL_COLOURS = {"pink": "#ee5a9b", "purple": "#6f2fb0", "teal": "#12888c", "orange": "#f08a1a", "brown": "#744023"}
POWERS = ("10", "20", "30", "40", "50", "60", "80", "90")
CAUSES = {"disc": "healthy blood", "crescent": "sickle cells", "rod": "an infection", "burr": "kidney trouble"}

SMEAR = Statement(
    "smear",
    "view",
    "blood smear, {tint} field",
    "This is a blood smear in a round {tint} field.",
    {"tint": tuple(STAINS)},
)
POWER = Statement("power", "view", "magnified x{power}", "It is magnified {power} times.", {"power": POWERS})
CELLS = Statement(
    "cells",
    "findings",
    "{count} {colour} {form}(|s)",
    "There (is|are) {count} {colour} {form}(|s).",
    {"count": COUNTS[:5], "colour": tuple(CELL_COLOURS), "form": tuple(CAUSES)},
    key=("colour",),
)
MOST_CELLS = Statement(
    "most_cells",
    "impression",
    "most are {colour}",
    "Most numerous are the {colour} ones.",
    {"colour": tuple(CELL_COLOURS)},
)
CAUSE = Statement(
    "cause", "impression", "suggests {cause}", "This suggests {cause}.", {"cause": tuple(CAUSES.values())}
)


def draw_smear(rng: np.random.Generator, scale: int) -> Picture:
    """Stained blood cells in the round field of a microscope."""
    tint, power = pick(rng, tuple(STAINS)), pick(rng, POWERS)
    canvas = Canvas(SIDE, SIDE, pick(rng, ("#0b0b0e", "#14161c", "#1d1a1a")), scale)
    middle, radius = (SIDE / 2 + rng.uniform(-5, 5), SIDE / 2 + rng.uniform(-8, 0)), rng.uniform(200, 208)
    stain = STAINS[tint]
    canvas.ellipse(*middle, radius, fill=mix(stain, "#3a2a30", 0.35))
    canvas.ellipse(*middle, radius - 4, fill=mix(stain, "#3a2a30", 0.1))
    canvas.light(middle, radius - 4, mix(stain, "#ffffff", 0.25), 1.3)
    for x, y in rng.uniform(-135, 135, (26, 2)).tolist():
        size = 7 + 6 * abs(x + y) / 270
        canvas.ellipse(middle[0] + x, middle[1] + y, size, size * 0.9, faded(mix(stain, "#5a3040", 0.3), 0.3))
    counts: list[int] = []
    while not counts or counts.count(max(counts)) > 1:
        counts = rng.integers(1, 6, int(rng.integers(2, 4))).tolist()
    groups = []
    places = iter(cell_places(rng, 166, 76))
    forms = sample(rng, tuple(CAUSES), len(counts))
    for count, colour, form in zip(counts, sample(rng, tuple(CELL_COLOURS), len(counts)), forms, strict=True):
        groups.append(CELLS(count=COUNTS[count - 1], colour=colour, form=form))
        for _ in range(count):
            x, y = next(places)
            place = (middle[0] + x, middle[1] + y)
            paint_cell(
                canvas, place, form, CELL_COLOURS[colour], rng.uniform(0, 2 * math.pi), 22 * rng.uniform(0.94, 1.1)
            )
    right = bool(rng.integers(2))
    canvas.text(SIDE - 8 if right else 8, SIDE - 5, f"x{power}", 34, "#ffffff", anchor="rd" if right else "ld")
    most = groups[counts.index(max(counts))].values
    reading = (MOST_CELLS(colour=most["colour"]), CAUSE(cause=CAUSES[most["form"]]))
    return Picture(canvas.finish(), (SMEAR(tint=tint), POWER(power=power), *groups, *reading))


# --- ECG strip -----------------------------------------------------------------------------------------------------

PAPERS = {"pink": "#f08aa0", "blue": "#6fa8e0", "green": "#6fbf80", "yellow": "#dcb420"}
LEADS = ("I", "II", "III", "V1", "V2", "V3", "V4", "V5", "V6")
RATES = tuple(str(rate) for rate in range(40, 150, 10))
PACES = ("slow", "normal", "fast")

STRIP = Statement(
    "strip",
    "view",
    "ECG strip, {paper} squares",
    "This is an ECG strip on paper with {paper} squares.",
    {"paper": tuple(PAPERS)},
)
LEAD = Statement(
    "lead",
    "view",
    "lead {lead}, age {age}",
    "It is lead {lead} of a patient aged {age}.",
    {"lead": LEADS, "age": NUMBERS},
)
RATE = Statement("rate", "findings", "rate {rate}", "The printed rate is {rate} beats per minute.", {"rate": RATES})
BEATS = Statement("beats", "findings", "{count} beats", "The trace shows {count} beats.", {"count": COUNTS[1:]})
RHYTHM = Statement(
    "rhythm", "findings", "{rhythm} rhythm", "The rhythm is {rhythm}.", {"rhythm": ("regular", "irregular")}
)
T_WAVE = Statement("t_wave", "findings", "T wave {wave}", "The T wave is {wave}.", {"wave": ("upright", "inverted")})
PACE = Statement("pace", "impression", "{pace} heartbeat", "The heartbeat is {pace}.", {"pace": PACES})
VERDICT = Statement(
    "verdict",
    "impression",
    "{verdict} tracing",
    "Overall the tracing is {verdict}.",
    {"verdict": ("healthy", "abnormal")},
)


def _beats(rng: np.random.Generator, rate: int, regular: bool) -> tuple[list[float], list[float]]:
    """Where the beats peak, then the length of the trace; and the gaps between them."""
    step = 8000 / rate
    count = int(410 / step)
    gaps = [step] * (count - 1)
    if not regular:
        long = [number % 2 == 0 for number in range(count - 1)]
        share = (count - 1 - sum(long)) / sum(long)
        gaps = [step * (1 + 0.36 * share if is_long else 0.64) for is_long in long]
        gaps = gaps[:: 1 if rng.integers(2) else -1]
    starts = np.concatenate([[0], np.cumsum(gaps)]) + step * 0.42
    return [*starts.tolist(), float(starts[-1] + step * 0.56)], [*gaps, step]


def _trace(
    rng: np.random.Generator, peaks: Sequence[float], gaps: Sequence[float], height: float, upright: bool
) -> list[Point]:
    """The line of the beats (P, Q, R, S and T as bell curves) from x = 0; up is negative."""
    xs = np.arange(0, peaks[-1], 1.5)
    ys = 2.5 * np.sin(xs / rng.uniform(40, 70) + rng.uniform(0, 6))
    wide = min(1.2 * min(gaps), 110.0)
    for peak in peaks[:-1]:
        waves = ((-0.22, 0.045, 0.13), (-0.055, 0.018, -0.1), (0, 0.022, 1.0), (0.06, 0.02, -0.24))
        for share, width, part in (*waves, (0.34, 0.07, 0.33 if upright else -0.33)):
            width = max(width * wide, 1.9)
            ys -= height * part * np.exp(-((xs - peak - share * wide) ** 2) / (2 * width**2))
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _grid(canvas: Canvas, colour: str, step: int) -> None:
    fine, coarse = mix(colour, "#ffffff", 0.62), mix(colour, "#ffffff", 0.15)
    for line, shade in [(n, fine) for n in range(SIDE // step + 1) if n % 4] + [
        (n, coarse) for n in range(0, SIDE // step + 1, 4)
    ]:
        canvas.line([(line * step, 0), (line * step, SIDE)], shade)
        canvas.line([(0, line * step), (SIDE, line * step)], shade)


def draw_ecg(rng: np.random.Generator, scale: int) -> Picture:
    """One lead of an electrocardiogram on squared paper, with the rate printed beside it."""
    healthy = rng.random() < 0.35
    pace = "normal" if healthy else pick(rng, PACES)
    rate = pick(rng, [rate for rate in RATES if pace == PACES[(int(rate) >= 60) + (int(rate) > 100)]])
    regular = healthy or int(rate) < 60 or rng.random() < 0.4
    upright = healthy or rng.random() < 0.4
    healthy = pace == "normal" and regular and upright
    paper, lead, age = pick(rng, tuple(PAPERS)), pick(rng, LEADS), pick(rng, NUMBERS)
    canvas = Canvas(SIDE, SIDE, mix(PAPERS[paper], "#ffffff", 0.8), scale)
    _grid(canvas, PAPERS[paper], int(rng.integers(8, 12)))
    peaks, gaps = _beats(rng, int(rate), regular)
    left, base = (SIDE - peaks[-1]) * rng.uniform(0.3, 0.7), rng.uniform(290, 325)
    ink = pick(rng, ("#17181c", "#1c2350", "#2a1720"))
    trace = _trace(rng, peaks, gaps, rng.uniform(140, 175), upright)
    canvas.line([(left + x, base + y) for x, y in trace], ink, 3.4)
    top = rng.uniform(0, 8)
    canvas.rect((0, 0, SIDE, top + 98), "#ffffff")
    canvas.rect((0, top + 96, SIDE, top + 99), ink)
    canvas.text(16, top + 6, f"Lead {lead}", 36, ink, bold=True)
    canvas.text(SIDE - 16, top + 6, f"Age {age}", 36, ink, anchor="ra")
    canvas.text(16, top + 50, f"Rate {rate}", 36, ink)
    canvas.text(SIDE - 16, top + 62, pick(rng, ("bpm", "resting", "12 lead unit")), 20, "#7a7a80", anchor="ra")
    canvas.text(rng.uniform(16, 240), SIDE - 30, "25 mm/s   10 mm/mV", 18, "#5c5c64")
    claims = (
        STRIP(paper=paper),
        LEAD(lead=lead, age=age),
        RATE(rate=rate),
        BEATS(count=COUNTS[len(peaks) - 2]),
        RHYTHM(rhythm="regular" if regular else "irregular"),
        T_WAVE(wave="upright" if upright else "inverted"),
        PACE(pace=pace),
        VERDICT(verdict="healthy" if healthy else "abnormal"),
    )
    return Picture(canvas.finish(), claims)


# --- figure of a case report ---------------------------------------------------------------------------------------

SPOTS = {"red": "#d6203a", "brown": "#7c3f14", "black": "#17131a", "blue": "#3a63c0", "yellow": "#f2d02e"}
SHAPES = ("round", "oval", "ragged", "ring")
SIZES = ("10", "12", "14", "16", "18", "20", "24", "28")
WEEKS = tuple(str(week) for week in range(1, 41))
PANELS = ("A", "B")

FIGURE = Statement(
    "figure",
    "view",
    "case report figure {number}, two skin photos",
    "This is figure {number} of a case report with two skin photos.",
    {"number": tuple("123456789")},
)
WEEK = Statement(
    "week",
    "view",
    "{panel}: week {week}",
    "Photo {panel} was taken in week {week}.",
    {"panel": PANELS, "week": WEEKS},
    key=("panel",),
)
SPOT = Statement(
    "spot",
    "findings",
    "{panel}: {colour} {shape} spot {size} mm",
    "In {panel} there is a {colour} {shape} spot of {size} mm.",
    {"panel": PANELS, "colour": tuple(SPOTS), "shape": SHAPES, "size": SIZES},
    key=("panel",),
)
GROWTH = Statement(
    "growth", "impression", "spot {change}", "From A to B the spot has {change}.", {"change": ("grown", "shrunk")}
)
HUE = Statement(
    "hue", "impression", "colour {change}", "Its colour {change}.", {"change": ("stays the same", "changes")}
)


def _photo(canvas: Canvas, rng: np.random.Generator, box: Box, skin: str, spot: Claim) -> None:
    """A photo of skin with a spot, the panel's letter, and a ruler with the spot's size."""
    x0, y0, x1, y1 = box
    colour, shape, size = (spot.values[slot] for slot in ("colour", "shape", "size"))
    canvas.gradient(box, [(0, mix(skin, "#ffffff", 0.22)), (0.6, skin), (1, mix(skin, "#5a2a1a", 0.2))])
    for x, y in rng.random((14, 2)).tolist():
        canvas.ellipse(x0 + 6 + x * (x1 - x0 - 12), y0 + 6 + y * (y1 - y0 - 12), 1.6, fill=mix(skin, "#6a3a22", 0.4))
    for y in np.linspace(y0 + 20, y1 - 50, 5) + rng.uniform(-8, 8, 5):
        canvas.line([(x0, y), ((x0 + x1) / 2, y + rng.uniform(-6, 6)), (x1, y)], faded("#8a5038", 0.16), 2)
    at = ((x0 + x1) / 2 + rng.uniform(-10, 10), y0 + (y1 - y0 - 48) * 0.5 + rng.uniform(4, 12))
    radius = int(size) * 2.3
    paint_spot(canvas, rng, at, radius, shape, SPOTS[colour])
    canvas.rect((x0, y1 - 46, x1, y1), "#f7f5ee")
    for tick in np.arange(x0 + 6, x1 - 2, 11.5).tolist():
        canvas.line([(tick, y1 - 46), (tick, y1 - 36)], "#44444a", 1.4)
    canvas.text((x0 + x1) / 2, y1 - 3, f"{size} mm", 32, "#17171b", anchor="md")
    canvas.rect((x0, y0, x0 + 38, y0 + 40), "#ffffff")
    canvas.text(x0 + 18, y0 + 37, spot.values["panel"], 36, "#111111", anchor="md", bold=True)


def draw_figure(rng: np.random.Generator, scale: int) -> Picture:
    """A journal's figure: two photos of a skin lesion, some weeks apart."""
    canvas = Canvas(SIDE, SIDE, pick(rng, ("#ffffff", "#fbfaf5", "#f3f5f8")), scale)
    number, skin = pick(rng, "123456789"), pick(rng, ("#f3ccb0", "#e9b997", "#dba981", "#efc0aa"))
    weeks = sorted(sample(rng, WEEKS, 2), key=int)
    sizes, colours = sample(rng, SIZES, 2), sample(rng, tuple(SPOTS), 2)
    if rng.integers(2):
        colours[1] = colours[0]
    spots = [
        SPOT(panel=panel, colour=colour, shape=pick(rng, SHAPES), size=size)
        for panel, colour, size in zip(PANELS, colours, sizes, strict=True)
    ]
    top, accent = rng.uniform(4, 14), pick(rng, ("#7a1f2b", "#1f3f7a", "#22262c", "#1f5f4a"))
    canvas.text(14, top + 4, f"Figure {number}", 38, accent, bold=True)
    canvas.line([(14, top + 54), (SIDE - 14, top + 54)], accent, 2)
    height, lower = rng.uniform(232, 262), rng.uniform(0, 14)
    for column, (spot, week) in enumerate(zip(spots, weeks, strict=True)):
        x, y = 12 + column * 216, top + 64 + lower
        _photo(canvas, rng, (x, y, x + 208, y + height), skin, spot)
        canvas.text(x + 104, y + height + 6, f"Week {week}", 34, "#1d1d22", anchor="ma")
    for row in range(2):
        width = rng.uniform(240, 420)
        canvas.rect((14, SIDE - 32 + row * 14, 14 + width, SIDE - 26 + row * 14), "#c9c9cf", radius=3)
    change = "grown" if int(sizes[1]) > int(sizes[0]) else "shrunk"
    hue = "stays the same" if colours[0] == colours[1] else "changes"
    dates = [WEEK(panel=panel, week=week) for panel, week in zip(PANELS, weeks, strict=True)]
    claims = (FIGURE(number=number), *dates, *spots, GROWTH(change=change), HUE(change=hue))
    return Picture(canvas.finish(), claims)


KINDS = (
    Kind("chest_xray", DOMAIN, "Radiology", (FILM, FILM_NUMBER, OPACITY, HEART, PACER, LUNG, OPACITIES), draw_chest),
    Kind("blood_smear", DOMAIN, "Pathology", (SMEAR, POWER, CELLS, MOST_CELLS, CAUSE), draw_smear),
    Kind("ecg_strip", DOMAIN, "Clinical", (STRIP, LEAD, RATE, BEATS, RHYTHM, T_WAVE, PACE, VERDICT), draw_ecg),
    Kind("case_figure", DOMAIN, "Case Report", (FIGURE, WEEK, SPOT, GROWTH, HUE), draw_figure),
)
