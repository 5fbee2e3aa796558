"""Medical & Bio-Imaging: a chest X-ray, stained tissue, a slice of the brain, an ECG strip."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .canvas import Array, Canvas, Point, faded, font, noise, pts, smooth
from .registry import Picture, picture


def _soft(size: tuple[int, int], points: list[Point], blur: float, closed: bool = True) -> Array:
    """A blurred smooth shape as a field of 0..1."""
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon(smooth(points, closed=True) if closed else points, 255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), dtype=float) / 255


def _stroke(size: tuple[int, int], points: list[Point], width: float, blur: float) -> Array:
    """A blurred smooth line as a field of 0..1."""
    mask, half = Image.new("L", size), width / 2
    draw = ImageDraw.Draw(mask)
    for x, y in smooth(points, steps=30):
        draw.ellipse((x - half, y - half, x + half, y + half), 255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), dtype=float) / 255


def _mirror(points: list[Point], width: int) -> list[Point]:
    return [(width - x, y) for x, y in points]


def _grey(field: Array) -> Image.Image:
    """A field of 0..1 as a grey RGB picture."""
    return Image.fromarray(np.clip(field * 255, 0, 255).astype(np.uint8)).convert("RGB")


def _label(image: Image.Image, x: float, y: float, text: str, size: float) -> None:
    """A white marker on a scan."""
    ImageDraw.Draw(image).text((x, y), text, "#f2f2f2", font(size))


def _ribs(size: tuple[int, int]) -> Array:
    """Ten pairs of ribs: bright bows from the spine outwards and down."""
    width = size[0]
    total = np.zeros((size[1], width))
    for number in range(10):
        y, reach = 84 + number * 47, 150 + 42 * math.sin(min(number, 6) / 6 * math.pi / 2)
        middle = width / 2
        shape = ((22, 0), (reach * 0.55, number * 2 - 24), (reach * 0.94, 22), (reach, 74))
        bow: list[Point] = [(middle - dx, y + dy) for dx, dy in shape]
        front: list[Point] = [(middle - reach * dx, y + dy) for dx, dy in ((1.0, 74), (0.8, 104), (0.45, 122))]
        for points, light in ((bow, 1.0), (front, 0.45)):
            for side in (points, _mirror(points, width)):
                edge = _stroke(size, side, 13, 1.6) - 0.45 * _stroke(size, side, 7, 1.6)
                total = np.maximum(total, light * edge)
    return total


@picture("medical_bio", "chest_xray.jpg")
def chest_xray(rng: np.random.Generator) -> Picture:
    """A frontal chest X-ray: dark lungs, ribs, collar bones, spine, heart shadow and an R marker."""
    size = width, height = (576, 640)
    torso = pts("170,40 406,40 540,120 560,400 545,680 30,680 16,400 36,120")
    lung = pts("250,92 196,110 140,200 104,330 90,470 120,508 190,470 252,478 258,330 262,180")
    heart = pts("262,262 320,250 352,300 408,380 430,446 392,492 300,502 244,484 236,400 250,320")
    field = 0.05 + 0.45 * _soft(size, torso, 22)
    field += 0.14 * _soft(size, [(250, 0), (326, 0), (340, 90), (236, 90)], 14)
    lungs = np.maximum(_soft(size, lung, 9), _soft(size, _mirror(lung, width), 9))
    field -= 0.36 * lungs
    field += 0.2 * _soft(size, pts("80,700 90,520 170,470 250,500 330,510 420,500 490,530 500,700"), 12)
    field += 0.36 * _soft(size, heart, 10) * (0.35 + 0.65 * lungs) + 0.1 * _soft(size, heart, 14)
    field += 0.16 * _soft(size, [(262, 0), (314, 0), (316, 650), (260, 650)], 7, closed=False)
    field -= 0.14 * _soft(size, [(276, 0), (300, 0), (298, 190), (278, 190)], 7, closed=False)
    for y in range(40, 640, 36):
        field += 0.05 * _stroke(size, [(264, y), (288, y + 3), (312, y)], 10, 3)
    field += 0.2 * _ribs(size) * (0.35 + 0.65 * lungs)
    for side in (False, True):
        bone = pts("272,122 210,98 140,96 84,76")
        points = _mirror(bone, width) if side else bone
        field += 0.24 * (_stroke(size, points, 18, 2) - 0.4 * _stroke(size, points, 9, 2))
        for vessel in map(pts, ("252,300 214,340 180,400", "250,290 200,262 160,240", "252,320 226,400 214,450")):
            field += 0.07 * _stroke(size, _mirror(vessel, width) if side else vessel, 9, 6)
    field += 0.05 * (noise(rng, width, height, 40) - 0.5) + rng.normal(0, 0.014, (height, width))
    image = _grey(field)
    _label(image, 22, 12, "R", 44)
    return image, (
        "A frontal chest X-ray in grey tones: the ribs, collar bones and spine are bright, the lungs are dark and "
        "clear, and the heart shadow lies towards the right side of the picture. An R marks the patient's right "
        "side at the upper left."
    )


def _cell(canvas: Canvas, rng: np.random.Generator, x: float, y: float, radius: float) -> None:
    """One stained cell: pink cytoplasm, purple nucleus with chromatin and sometimes a nucleolus."""
    turn, reach = rng.uniform(0, 180), rng.uniform(0.85, 1.15)
    canvas.ellipse(
        x,
        y,
        radius * 1.0,
        radius * 0.86 * reach,
        faded("#e58fb4", 0.75),
        turn=turn,
        outline=faded("#b65a8c", 0.55),
        width=1.3,
    )
    nx, ny = x + rng.uniform(-0.12, 0.12) * radius, y + rng.uniform(-0.12, 0.12) * radius
    core = radius * rng.uniform(0.42, 0.56)
    canvas.ellipse(nx, ny, core, core * rng.uniform(0.7, 0.95), "#6a3d95", turn=turn, outline="#46246f", width=1.6)
    for _ in range(9):
        angle, far = rng.uniform(0, 2 * math.pi), core * 0.6 * rng.uniform(0, 1)
        colour = faded("#3d1a66" if rng.uniform() < 0.6 else "#9a70bf", 0.6)
        canvas.ellipse(
            nx + far * math.cos(angle), ny + far * math.sin(angle), core * rng.uniform(0.08, 0.17), fill=colour
        )
    if rng.uniform() < 0.4:
        canvas.ellipse(nx, ny, core * 0.2, fill="#2f1153")


def _gland(canvas: Canvas, rng: np.random.Generator, centre: Point, radius: float) -> None:
    """A gland: a white lumen in a ring of columnar cells whose dark nuclei lie at the base."""
    canvas.ellipse(*centre, radius * 1.28, radius * 1.2, "#d97fac", outline="#a84f86", width=2)
    count = round(radius * 0.36)
    for number in range(count):
        angle = 2 * math.pi * (number + rng.uniform(-0.25, 0.25)) / count
        cos, sin = math.cos(angle), math.sin(angle)
        ends = [(centre[0] + radius * s * cos, centre[1] + radius * s * 0.94 * sin) for s in (0.56, 1.26)]
        canvas.line(ends, faded("#a84f86", 0.5), 1.1)
        far = radius * rng.uniform(0.9, 1.08)
        at = (centre[0] + far * math.cos(angle + 0.1), centre[1] + far * 0.94 * math.sin(angle + 0.1))
        long, wide, turn = (
            radius * rng.uniform(0.12, 0.17),
            radius * rng.uniform(0.065, 0.09),
            math.degrees(angle) + rng.uniform(-25, 25),
        )
        canvas.ellipse(*at, long, wide, "#5f3790", turn=turn, outline="#3c1c66", width=1.2)
        for share in (-0.4, 0.1, 0.5):
            spot = (at[0] + long * share * cos, at[1] + long * share * sin)
            canvas.ellipse(*spot, wide * 0.35, fill=faded("#32115c", 0.6))
    canvas.ellipse(*centre, radius * 0.58, radius * 0.54, "#fbf3f7", outline="#c678a4", width=2)


@picture("medical_bio", "histology.jpg")
def histology(rng: np.random.Generator) -> Picture:
    """A microscope view of tissue in pink and purple stain: cells, three glands, fibres and a scale bar."""
    canvas = Canvas(640, 480, "#f3c6d8")
    tint = Image.fromarray((noise(rng, 640, 480, 120) * 255).astype(np.uint8)).resize(
        canvas.image.size, Image.Resampling.BICUBIC
    )
    canvas.blend(Image.new("RGB", canvas.image.size, "#dd8fb2"), tint)
    for _ in range(70):
        x, y, lean = rng.uniform(-40, 640), rng.uniform(0, 480), rng.uniform(-14, 14)
        canvas.line(
            smooth([(x, y), (x + 45, y + lean), (x + 90, y - lean), (x + 140, y + lean)]), faded("#c96a97", 0.35), 2.5
        )
    glands: list[tuple[Point, float]] = [((150, 150), 82), ((462, 118), 66), ((384, 346), 90)]
    placed: list[tuple[float, float, float]] = [(c[0], c[1], r * 1.26) for c, r in glands]
    for _ in range(4000):
        x, y, radius = rng.uniform(-10, 650), rng.uniform(-10, 490), rng.uniform(12, 19)
        if all(math.dist((x, y), other[:2]) > (radius + other[2]) * 0.97 for other in placed):
            placed.append((x, y, radius))
            _cell(canvas, rng, x, y, radius)
    for centre, radius in glands:
        _gland(canvas, rng, centre, radius)
    canvas.rect((526, 432, 636, 476), faded("#ffffff", 0.85), radius=4)
    canvas.rect((536, 462, 626, 467), "#1c1c1c")
    canvas.text(581, 458, "50 um", 17, "#1c1c1c", anchor="mb")
    canvas.grain(rng, 3)
    image = canvas.finish().filter(ImageFilter.GaussianBlur(0.5))
    return image, (
        "A microscope picture of tissue stained pink and purple: many cells with purple nuclei and three round "
        "glands, each a ring of cells around a white lumen. A scale bar at the lower right reads 50 um."
    )


def _brain_fields(rng: np.random.Generator, width: int, height: int) -> tuple[Array, Array, Array]:
    """Of every pixel: its distance from the centre of the head (1 at the scalp), its angle, and fold noise."""
    y, x = np.mgrid[0:height, 0:width]
    dx, dy = (x - width / 2) / (width * 0.405), (y - height * 0.515) / (height * 0.44)
    wobble = 0.012 * np.sin(3 * np.arctan2(dy, dx))
    return np.hypot(dx, dy) + wobble, np.arctan2(dy, dx), noise(rng, width, height, 60, octaves=2) - 0.5


def _distance_to_folds(phase: Array) -> Array:
    """About how many pixels away the nearest fold is, where sin(phase) = 0 are the folds."""
    steps = [np.hypot(*np.gradient(part)) for part in (np.sin(phase), np.cos(phase))]
    distance: Array = np.abs(np.sin(phase)) / np.maximum(np.hypot(*steps), 1e-3)
    return distance


def _cortex(radius: Array, sulcus: Array, rng: np.random.Generator) -> Array:
    """Scalp, skull and brain by their distance from the centre; grey matter lines the surface and the folds."""
    field = np.full(radius.shape, 0.02)
    for edge, level in ((1.0, 0.72), (0.955, 0.07), (0.875, 0.12), (0.85, 0.68)):
        field[radius < edge] = level
    brain, depth = radius < 0.85, 0.85 - radius
    reach = 0.24 + 0.3 * (noise(rng, radius.shape[1], radius.shape[0], 48, octaves=1) - 0.4)
    taper = np.sqrt(np.clip(1 - depth / np.maximum(reach, 0.03), 0, 1))
    near_fold = (sulcus < 7.5 * np.minimum(taper + 0.45, 1)) & (depth < reach + 0.04)
    field[brain & ((depth < 0.05) | near_fold)] = 0.42
    field[brain & (sulcus < 2.6 * taper) & (depth < reach)] = 0.12
    return field


@picture("medical_bio", "brain_mri.jpg")
def brain_mri(rng: np.random.Generator) -> Picture:
    """An axial T1-like slice of the head: scalp, dark skull, folded grey matter, white matter, dark ventricles."""
    size = width, height = (512, 592)
    radius, angle, fold = _brain_fields(rng, width, height)
    field = _cortex(radius, _distance_to_folds(angle * 12 + 6 * fold + 2 * np.sin(radius * 9)), rng)
    middle = width / 2 + 3 * np.sin(np.arange(height) / 40)
    gap = np.abs(np.arange(width)[None] - middle[:, None])
    ends = (radius < 0.85) & ((radius > 0.42) & (np.abs(np.cos(angle)) < 0.35))
    field[ends & (gap < 9 + 5 * fold)] = 0.42
    field[ends & (gap < 2.6)] = 0.1
    field = np.asarray(_grey(field).convert("L").filter(ImageFilter.GaussianBlur(1.5)), dtype=float) / 255
    horn = pts("250,258 238,218 214,194 206,204 222,236 234,276 232,312 204,352 190,386 200,392 226,362 246,322")
    nuclei, thalamus = pts("226,262 208,232 196,250 204,282 222,300"), pts("246,300 228,306 214,334 226,356 246,346")
    for points, level, blur in ((nuclei, 0.45, 4), (thalamus, 0.47, 4), (horn, 0.09, 1.5)):
        for side in (points, _mirror(points, width)):
            mask = _soft(size, side, blur)
            field = field * (1 - mask) + level * mask
    field += np.where(radius < 1, 0.05 * (noise(rng, width, height, 130) - 0.5), 0)
    field += rng.normal(0, 0.013, (height, width))
    image = _grey(field)
    for x, text in ((22, "R"), (474, "L")):
        _label(image, x, 280, text, 30)
    _label(image, 16, 14, "AX T1", 19)
    _label(image, 16, 558, "Slice 14 / 28", 17)
    return image, (
        "An axial T1-weighted MRI slice of the head: a bright ring of scalp, the dark skull, folded grey matter "
        "around brighter white matter, and the two dark lateral ventricles in the centre. R and L mark the sides; "
        "the text reads 'AX T1, Slice 14 / 28'."
    )


def _beat(phase: Array, weights: tuple[float, ...]) -> Array:
    """One heart beat over `phase` (seconds from the R wave): P, Q, R, S and T as Gaussian waves, in millivolt."""
    centres, widths = (-0.17, -0.03, 0.0, 0.032, 0.26), (0.025, 0.009, 0.011, 0.011, 0.045)
    waves = zip(weights, centres, widths, strict=True)
    total: Array = sum((w * np.exp(-((phase - c) ** 2) / (2 * s**2)) for w, c, s in waves), np.zeros_like(phase))
    return total


@picture("medical_bio", "ecg_strip.png")
def ecg_strip(rng: np.random.Generator) -> Picture:
    """Three leads of a regular electrocardiogram on pink millimetre paper."""
    canvas, step = Canvas(768, 480, "#fff4f2"), 5
    for at in range(0, 769, step):
        colour, width = ("#e89c9c", 1.0) if at % 25 == 0 else ("#f7d3d0", 0.6)
        canvas.line([(at, 0), (at, 480)], colour, width)
        if at <= 480:
            canvas.line([(0, at), (768, at)], colour, width)
    leads = {
        "I": (0.1, -0.05, 0.7, -0.12, 0.2),
        "II": (0.16, -0.08, 1.25, -0.22, 0.32),
        "V1": (0.08, 0.0, 0.28, -0.95, -0.12),
    }
    seconds = np.arange(0, 720) / 125
    beats = np.cumsum(np.full(10, 0.8) + rng.normal(0, 0.008, 10)) - 0.5
    for (name, weights), base in zip(leads.items(), (136, 266, 388), strict=True):
        volts: Array = sum((_beat(seconds - beat, weights) for beat in beats), np.zeros_like(seconds))
        volts = volts + rng.normal(0, 0.006, len(seconds))
        trace = [(36 + 125 * float(t), base - 50 * float(v)) for t, v in zip(seconds, volts, strict=True)]
        canvas.line(trace, "#1a1a1a", 1.7)
        canvas.line([(8, base), (12, base), (12, base - 50), (24, base - 50), (24, base), (36, base)], "#1a1a1a", 1.7)
        canvas.text(40, base - 68, name, 21, "#1a1a1a", bold=True)
    canvas.rect((0, 0, 768, 44), "#ffffff")
    canvas.text(14, 22, "Patient 0042   ECG   HR 75 bpm   sinus rhythm", 18, anchor="lm")
    canvas.rect((0, 450, 768, 480), "#ffffff")
    canvas.text(14, 465, "25 mm/s    10 mm/mV    0.05 - 40 Hz", 15, anchor="lm")
    return canvas.finish(), (
        "An electrocardiogram on pink squared paper with the leads I, II and V1 one below the other. The rhythm is "
        "regular at about 75 beats per minute; the header reads 'HR 75 bpm, sinus rhythm', the footer 25 mm/s and "
        "10 mm/mV."
    )
