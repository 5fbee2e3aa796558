"""Video & Temporal: a ball that ends in a box, a figure at a door, a shot at a goal; all 320x240."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .canvas import Canvas, Point, ellipse_points, faded, mix
from .registry import Clip, clip
from .shapes import broadleaf

WIDTH, HEIGHT = 320, 240
GRAVITY = 500.0


def _share(time: float, start: float, end: float) -> float:
    """How far `time` is between `start` and `end`, from 0 to 1, with a soft begin and end."""
    at = min(max((time - start) / (end - start), 0.0), 1.0)
    return at * at * (3 - 2 * at)


def _copy(still: Canvas) -> Canvas:
    """A canvas that starts as a copy of a drawn background."""
    canvas = Canvas(still.width, still.height, scale=still.scale)
    canvas.image.paste(still.image)
    return canvas


@dataclass(frozen=True)
class Flight:
    """A throw from `start` seconds on: place, velocity in pixels a second, under `GRAVITY`."""

    start: float
    place: Point
    velocity: Point

    def at(self, time: float) -> Point:
        """Where the thrown thing is at `time`, in pixels."""
        passed = time - self.start
        fall = self.velocity[1] * passed + GRAVITY * passed**2 / 2
        return (self.place[0] + self.velocity[0] * passed, self.place[1] + fall)


ROLL_END, FLOOR_HIT, BOX_HIT, BOX_REST = 1.5, 2.116, 3.199, 3.6
FALLS = (
    (ROLL_END, Flight(0.0, (-15, 97), (90, 0))),
    (FLOOR_HIT, Flight(ROLL_END, (120, 97), (90, 0))),
    (BOX_HIT, Flight(FLOOR_HIT, (175.4, 192), (90, -275))),
    (BOX_REST, Flight(BOX_HIT, (272.9, 187), (26, -100))),
)


def _ball_place(time: float) -> Point:
    """Where the centre of the ball is: on the table, in the air, in the box."""
    for end, flight in FALLS:
        if time < end:
            x, y = flight.at(time)
            return (x, 97.0) if end == ROLL_END else (x, y)
    return (283.3, 187.0)


def _room(rng: np.random.Generator) -> Canvas:
    """A room with striped wallpaper, a window, a floor and a wooden table at the left."""
    canvas = Canvas(WIDTH, HEIGHT, "#dfe8ee", scale=2)
    for x in range(0, WIDTH, 32):
        canvas.rect((x, 0, x + 16, 170), "#d3dfe8")
    canvas.rect((196, 22, 272, 92), "#a9d5f2", "#ffffff", 5)
    canvas.line([(234, 22), (234, 92)], "#ffffff", 3)
    canvas.line([(196, 57), (272, 57)], "#ffffff", 3)
    canvas.gradient((0, 170, WIDTH, HEIGHT), [(0, "#c29a6c"), (1, "#a37b4e")])
    canvas.rect((0, 164, WIDTH, 171), "#ffffff")
    for x in range(-40, WIDTH, 46):
        canvas.line([(x + 24, 171), (x - 10, HEIGHT)], faded("#5e3f1f", 0.35), 1)
    for x in (16, 100):
        canvas.rect((x, 120, x + 9, 214), "#7a4b25")
    canvas.rect((-5, 110, 120, 122), "#95602f")
    canvas.rect((-5, 110, 120, 113), "#b47b44")
    return canvas


def _ball(canvas: Canvas, x: float, y: float, radius: float, turn: float) -> None:
    """A red ball with a white stripe that turns."""
    canvas.ellipse(x, y, radius, fill="#d7263d")
    halves = [
        ellipse_points((x, y), (radius, radius), turn=math.degrees(turn) + side, arc=(-15, 15), steps=12)
        for side in (0, 180)
    ]
    canvas.polygon([*halves[0], *halves[1]], "#ffffff")
    canvas.ellipse(x - radius * 0.35, y - radius * 0.45, radius * 0.2, fill=faded("#ffffff", 0.7))


def _ball_frame(room: Canvas, time: float) -> Image.Image:
    """The room with the ball and the box at `time`; the ball is hidden behind the front of the box."""
    canvas, (x, y) = _copy(room), _ball_place(time)
    canvas.polygon([(250, 140), (318, 140), (322, 126), (258, 126)], "#d8a565", "#8b5e2e", 1)
    canvas.polygon([(238, 158), (306, 158), (318, 140), (250, 140)], "#5a3612")
    canvas.polygon([(238, 158), (250, 140), (250, 158)], "#7b4f20")
    canvas.polygon([(238, 158), (250, 140), (234, 150), (220, 168)], "#d8a565", "#8b5e2e", 1)
    if x > 120 and time < BOX_HIT and x < 238:
        size = 5 + 8 * max(y - 97, 0) / 95
        canvas.ellipse(x, 207, size, 2.4, faded("#2b1a08", 0.35))
    _ball(canvas, x, y, 13, x / 13)
    canvas.rect((238, 158, 306, 212), "#c98f4e", "#8b5e2e", 1.5)
    canvas.polygon([(306, 158), (318, 140), (318, 196), (306, 212)], "#a8733a", "#8b5e2e", 1)
    canvas.text(272, 185, "BOX", 20, "#5a3612", anchor="mm", bold=True)
    return canvas.finish()


@clip("video_clips", "ball_into_box.mp4", fps=15)
def ball_into_box(rng: np.random.Generator) -> Clip:
    """A red ball rolls over a table, falls, bounces off the floor and lands in a cardboard box."""
    room = _room(rng)
    frames = (_ball_frame(room, number / 15) for number in range(72))
    return frames, (
        "A red ball with a white stripe rolls from the left over a wooden table, falls off its edge, bounces once "
        "on the floor and flies in a bow into a cardboard box marked 'BOX' at the right, where it stays out of "
        "sight."
    )


@dataclass(frozen=True)
class Look:
    """The colours of a figure."""

    skin: str
    hair: str
    shirt: str
    trousers: str
    shoes: str


def _limb(canvas: Canvas, start: Point, length: float, upper: float, lower: float, colour: str, width: float) -> Point:
    """An arm or leg of two parts, with their angles from straight down in radians; returns its end."""
    joint = (start[0] + length / 2 * math.sin(upper), start[1] + length / 2 * math.cos(upper))
    end = (joint[0] + length / 2 * math.sin(lower), joint[1] + length / 2 * math.cos(lower))
    canvas.line([start, joint, end], colour, width, caps=True)
    return end


def _figure(
    canvas: Canvas, x: float, foot: float, size: float, look: Look, phase: float, swing: float = 0.5, kick: float = 0.0
) -> None:
    """A figure that walks to the right; `phase` moves its legs, `kick` (0 to 1) throws the front leg forward."""
    hip, neck = (x, foot - size * 0.47), (x + size * 0.03, foot - size * 0.8)
    step = swing * math.sin(phase)
    for side in (-1, 1):
        upper = side * step + (kick * 1.25 if side == 1 else -kick * 0.3)
        bend = max(0.0, -side * math.cos(phase)) * swing * 0.9 * (1 - kick)
        colour = look.trousers if side == 1 else mix(look.trousers, "#000000", 0.25)
        if side == 1:
            _limb(canvas, neck, size * 0.36, step, step + 0.35, mix(look.shirt, "#000000", 0.25), size * 0.07)
        end = _limb(canvas, hip, size * 0.47, upper, upper - bend, colour, size * 0.085)
        canvas.ellipse(end[0] + size * 0.035, end[1], size * 0.07, size * 0.035, look.shoes)
    canvas.line([hip, neck], look.shirt, size * 0.17, caps=True)
    hand = _limb(canvas, neck, size * 0.36, -step, -step + 0.35, mix(look.shirt, "#ffffff", 0.15), size * 0.07)
    canvas.ellipse(*hand, size * 0.04, fill=look.skin)
    head = (neck[0] + size * 0.02, neck[1] - size * 0.12)
    canvas.ellipse(*head, size * 0.085, size * 0.095, look.skin)
    canvas.polygon(
        ellipse_points((head[0] - size * 0.008, head[1] - size * 0.015), (size * 0.092, size * 0.095), arc=(110, 320)),
        look.hair,
    )


WALKER = Look("#e3b08a", "#3b2416", "#3f8f6b", "#39445e", "#20222a")


def _night(rng: np.random.Generator) -> Canvas:
    """A garden at night with a moon, stars, a tree and a path to a dark house."""
    canvas = Canvas(WIDTH, HEIGHT, scale=2)
    canvas.gradient((0, 0, WIDTH, 190), [(0, "#0d1433"), (1, "#34406b")])
    for _ in range(45):
        canvas.ellipse(rng.uniform(0, 150), rng.uniform(0, 110), rng.uniform(0.4, 1), fill="#dfe6ff")
    canvas.glow(48, 42, 40, "#dfe6ff", 0.35)
    canvas.ellipse(48, 42, 14, fill="#f4f1dc")
    canvas.rect((0, 186, WIDTH, HEIGHT), "#22402f")
    broadleaf(canvas, rng, 30, 192, 96, "#27503a")
    canvas.polygon([(0, 206), (320, 198), (320, 228), (0, 240)], "#5b5a66")
    canvas.polygon([(122, 62), (230, 10), (330, 62)], "#3a2530")
    canvas.rect((138, 60, WIDTH, 200), "#5b4a55")
    for y in range(70, 200, 10):
        canvas.line([(138, y), (WIDTH, y)], faded("#2e232b", 0.5), 0.8)
    return canvas


def _door_frame(night: Canvas, time: float) -> Image.Image:
    """The house at `time`: the figure walks until 2.4 s, the door opens until 3.3 s, the light goes on at 3.6 s."""
    canvas, opened, lit = _copy(night), _share(time, 2.5, 3.3), _share(time, 3.55, 3.75)
    warm = mix("#15131f", "#ffdf8c", lit)
    canvas.rect((262, 96, 304, 140), mix("#232a45", "#ffd97a", lit), "#d8cfc4", 3)
    canvas.line([(283, 96), (283, 140)], "#d8cfc4", 2)
    canvas.line([(262, 118), (304, 118)], "#d8cfc4", 2)
    canvas.rect((186, 100, 238, 203), "#d8cfc4")
    canvas.rect((190, 104, 234, 203), warm if opened else "#15131f")
    if lit:
        canvas.glow(283, 118, 46, "#ffd97a", 0.4 * lit)
        canvas.polygon([(190, 203), (234, 203), (222, 236), (120, 236)], faded("#ffdf8c", 0.45 * lit))
    walked, entered = 20 + 148 * min(time / 2.4, 1), _share(time, 4.0, 4.9)
    walks = time < 2.4 or 0 < entered < 1
    if entered:
        _figure(
            canvas, walked + 44 * entered, 206 - 3 * entered, 78 - 3 * entered, WALKER, time * 8, 0.5 if walks else 0.0
        )
    wide = 44 * math.cos(opened * 1.35)
    leaf = [(234 - wide, 104 - 5 * opened), (234, 104), (234, 203), (234 - wide, 203 + 5 * opened)]
    canvas.polygon(leaf, mix("#8c2f2a", "#b5463d", lit * 0.6), "#4d1714", 1)
    knob = 234 - wide * 0.86
    canvas.ellipse(knob, 156, 2.2, fill="#e8c35a")
    if not entered:
        _figure(canvas, walked, 206, 78, WALKER, time * 8, 0.5 if walks else 0.0)
    return canvas.finish()


@clip("video_clips", "figure_at_door.mp4", fps=12)
def figure_at_door(rng: np.random.Generator) -> Clip:
    """At night a figure walks to a house, the door opens, the light goes on, the figure steps in."""
    night = _night(rng)
    frames = (_door_frame(night, number / 12) for number in range(66))
    return frames, (
        "At night a person in a green jumper walks from the left to the red door of a dark house. The door opens, "
        "then the light goes on in the doorway and the window, and the person steps into the lit doorway."
    )


STRIKER = Look("#c98d63", "#1d130d", "#d7263d", "#ffffff", "#111111")
KICK, GOAL = 1.6, 2.5
SHOT = Flight(KICK, (110, 200), (206, -280))


def _pitch(rng: np.random.Generator) -> Canvas:
    """A stadium: a crowd, an advertising board, striped turf and a goal with a net at the right."""
    canvas = Canvas(WIDTH, HEIGHT, "#2b3350", scale=2)
    for row in range(9):
        for column in range(46):
            colour = ("#e8c39e", "#d7263d", "#f4f4f4", "#3f7fd1", "#f2c14e", "#8a5a3c")[int(rng.integers(6))]
            canvas.ellipse(column * 7.2 + 3.6 * (row % 2), 34 + row * 8, 2.7, 3.1, colour)
    canvas.rect((0, 106, WIDTH, 124), "#1b3f7a")
    for x in (56, 176):
        canvas.text(x, 115, "TOY CUP", 12, "#ffffff", anchor="mm", bold=True)
    for number, x in enumerate(range(0, WIDTH, 40)):
        canvas.rect((x, 124, x + 40, HEIGHT), "#3f9b46" if number % 2 else "#48a850")
    canvas.line([(236, 124), (206, HEIGHT)], "#ffffff", 2)
    return canvas


def _goal_frame(canvas: Canvas, bulge: float) -> None:
    """The goal in perspective; `bulge` (0 to 1) pushes the net back where the ball hits it."""
    tops, feet = ((258.0, 112.0), (286.0, 128.0)), ((258.0, 182.0), (286.0, 214.0))
    back_top, back_foot = (312 + 4 * bulge, 122.0), (314 + 4 * bulge, 200.0)
    for share in np.linspace(0, 1, 8).tolist():
        near = (tops[0][0] + 28 * share, tops[0][1] + 16 * share)
        canvas.line(
            [near, (near[0] + (back_top[0] - near[0]), near[1] + (back_top[1] - near[1]) * 0.6)],
            faded("#ffffff", 0.55),
            0.7,
        )
        row = tops[1][1] + (feet[1][1] - tops[1][1]) * share
        depth = (
            back_top[0] + bulge * 6 * math.sin(math.pi * share),
            back_top[1] + (back_foot[1] - back_top[1]) * share,
        )
        canvas.line([(tops[1][0], row), depth], faded("#ffffff", 0.55), 0.7)
        canvas.line(
            [(286 + 27 * share, 128 - 5 * share), (286 + 28 * share + 4 * bulge * share, 214 - 13 * share)],
            faded("#ffffff", 0.55),
            0.7,
        )
    canvas.line([feet[0], tops[0], tops[1], feet[1]], "#ffffff", 4, caps=True)


def _shot_place(time: float) -> Point:
    """Where the football is: at rest, in flight, in the net, on the ground."""
    if time < KICK:
        return SHOT.place
    if time < GOAL:
        return SHOT.at(time)
    x, y = SHOT.at(GOAL)
    return (x + 5 * _share(time, GOAL, GOAL + 0.3), y + (203 - y) * min((time - GOAL) / 0.5, 1) ** 2)


def _football(canvas: Canvas, x: float, y: float, turn: float) -> None:
    """A black and white football."""
    canvas.ellipse(x, y, 7, fill="#ffffff", outline="#222222", width=1)
    canvas.polygon(ellipse_points((x, y), (3, 3), turn=math.degrees(turn), steps=5), "#222222")
    for number in range(5):
        angle = turn + number * 2 * math.pi / 5
        canvas.line(
            [(x + 3 * math.cos(angle), y + 3 * math.sin(angle)), (x + 6 * math.cos(angle), y + 6 * math.sin(angle))],
            "#222222",
            1,
        )


def _shot_frame(pitch: Canvas, time: float) -> Image.Image:
    """The stadium at `time`: run-up, kick at 1.6 s, ball in the net at 2.5 s, then the word GOAL!"""
    canvas, scored = _copy(pitch), time >= GOAL + 0.2
    canvas.rect((110, 5, 210, 25), "#10131f", radius=5)
    canvas.text(160, 15, f"RED  {int(scored)} : 0  BLUE", 13, "#ffffff", anchor="mm", bold=True)
    x, y = _shot_place(time)
    bulge = _share(time, GOAL - 0.03, GOAL + 0.12) * (1 - _share(time, GOAL + 0.3, GOAL + 0.9))
    canvas.ellipse(x, 209, 7, 2, faded("#0c2d10", 0.4))
    if time >= GOAL - 0.15:
        _football(canvas, x, y, x / 7)
    _goal_frame(canvas, bulge)
    run = 20 + 66 * min(time / KICK, 1) + 12 * _share(time, KICK, KICK + 0.4)
    kick = _share(time, KICK - 0.2, KICK) * (1 - _share(time, KICK + 0.15, KICK + 0.6))
    canvas.ellipse(run, 214, 18, 3, faded("#0c2d10", 0.4))
    _figure(canvas, run, 212, 88, STRIKER, time * 11, 0.62 * (time < KICK - 0.2), kick)
    if time < GOAL - 0.15:
        _football(canvas, x, y, x / 7)
    if scored:
        canvas.text(
            142, 72, "GOAL!", 52 * (0.6 + 0.4 * _share(time, GOAL + 0.2, GOAL + 0.5)), "#10131f", anchor="mm", bold=True
        )
        canvas.text(
            140, 70, "GOAL!", 52 * (0.6 + 0.4 * _share(time, GOAL + 0.2, GOAL + 0.5)), "#ffd93b", anchor="mm", bold=True
        )
    return canvas.finish()


@clip("video_clips", "toy_football_shot.mp4", fps=15)
def toy_football_shot(rng: np.random.Generator) -> Clip:
    """A player in red runs up, kicks the ball in a bow into the goal, the score changes to 1 : 0."""
    pitch = _pitch(rng)
    frames = (_shot_frame(pitch, number / 15) for number in range(64))
    return frames, (
        "A football player in a red shirt runs up from the left and kicks the ball; it flies in a bow before the "
        "crowd into the goal at the right. The word 'GOAL!' appears and the scoreboard changes from RED 0 : 0 BLUE "
        "to RED 1 : 0 BLUE."
    )
