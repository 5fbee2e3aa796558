"""Video & Temporal: a ball game, a person who moves, a film scene with two cars, a lesson at a board.

Every clip has two events: one ends before the middle of the clip, the other begins after it.
"""

import math

import numpy as np
from PIL import Image

from ..scene import CLIP_SIDE, Clip, Kind, Statement
from .canvas import Canvas, faded, font
from .chance import pick, pick_two
from .places import (
    BACKDROPS,
    BOARDS,
    COLOURS,
    GROUNDS,
    Dress,
    Pose,
    copy_of,
    finished,
    paint_ball,
    paint_classroom,
    paint_figure,
    paint_on_desk,
    paint_pitch,
    paint_road,
    paint_thing,
    surface,
)
from .shapes import car

DOMAIN = "Video & Temporal"
AGENTS = ("scene", "events", "order")

FIRST_MOVE, THEN_MOVE = (0.05, 0.41), (0.57, 0.93)

BRIGHT = ("red", "blue", "yellow", "green", "purple")
SIDES = ("left", "right")
SPOTS = {"left": 38.0, "middle": 112.0, "right": 186.0}


def _passed(share: float, span: tuple[float, float]) -> float:
    """How much of the event at `span` is over, from 0 to 1, with a soft begin and end."""
    at = min(max((share - span[0]) / (span[1] - span[0]), 0.0), 1.0)
    return at * at * (3 - 2 * at)


# A ball game.

BALLS = ("red", "blue", "yellow", "purple", "black")
GOALS = ("red", "blue", "yellow", "purple", "black")
MANNERS = ("rolls", "flies")

GAME = Statement(
    "game", "scene", "ball game on {ground}", "The clip shows a ball game on {ground}.", {"ground": tuple(GROUNDS)}
)
BALL = Statement(
    "ball", "scene", "{ball} ball from the {start}", "The {ball} ball starts from the {start}.",
    {"ball": BALLS, "start": tuple(SPOTS)},
)  # fmt: skip
PLAYER = Statement(
    "player", "scene", "player in {shirt}", "A player in a {shirt} shirt runs with it.", {"shirt": BRIGHT}
)
GOAL = Statement(
    "goal", "scene", "{side} goal {colour}", "The goal on the {side} is {colour}.",
    {"side": SIDES, "colour": GOALS}, key=("side",),
)  # fmt: skip
BALL_FIRST = Statement(
    "ball_first", "events", "first {manner} to the {spot}", "First the ball {manner} to the {spot}.",
    {"manner": MANNERS, "spot": tuple(SPOTS)},
)  # fmt: skip
BALL_THEN = Statement(
    "ball_then", "events", "then {manner} to the {spot}", "Then the ball {manner} to the {spot}.",
    {"manner": MANNERS, "spot": tuple(SPOTS)},
)  # fmt: skip
BALL_END = Statement(
    "ball_end", "order", "ends at {goal}", "So it ends at {goal}.",
    {"goal": ("no goal", *(f"the {colour} goal" for colour in GOALS))},
)  # fmt: skip


def draw_ball_game(rng: np.random.Generator, scale: int) -> Clip:
    """A ball that moves twice between the left, the middle and the right, with a player after it."""
    ground = pick(rng, tuple(GROUNDS))
    ball = pick(rng, BALLS, *{"yellow sand": ("yellow",), "orange clay": ("red",)}.get(ground, ()))
    goals = dict(zip(SIDES, pick_two(rng, GOALS), strict=True))
    shirt = pick(rng, BRIGHT, ball)
    start = pick(rng, tuple(SPOTS))
    first = pick(rng, tuple(SPOTS), start)
    then = pick(rng, tuple(SPOTS), first)
    manners = (pick(rng, MANNERS), pick(rng, MANNERS))
    claims = (
        GAME(ground=ground), BALL(ball=ball, start=start), PLAYER(shirt=shirt),
        *(GOAL(side=side, colour=goals[side]) for side in SIDES),
        BALL_FIRST(manner=manners[0], spot=first), BALL_THEN(manner=manners[1], spot=then),
        BALL_END(goal="no goal" if then == "middle" else f"the {goals[then]} goal"),
    )  # fmt: skip
    pitch = paint_pitch(rng, scale, ground, goals)
    radius, floor = float(rng.uniform(17, 21)), float(rng.uniform(208, 214))
    size, height = float(rng.uniform(86, 98)), float(rng.uniform(120, 138))
    trousers = pick(rng, ("white", "black"), *(["white"] if ground == "white ice" else []))
    dress = Dress(shirt, trousers, skin=pick(rng, ("#e5b48d", "#a86b42", "#6f4528")))

    def frame(share: float) -> Image.Image:
        canvas, moved = copy_of(pitch), (_passed(share, FIRST_MOVE), _passed(share, THEN_MOVE))
        x = SPOTS[start] + (SPOTS[first] - SPOTS[start]) * moved[0] + (SPOTS[then] - SPOTS[first]) * moved[1]
        arcs = (4 * part * (1 - part) * (manner == "flies") for part, manner in zip(moved, manners, strict=True))
        y, runs = floor - radius - height * sum(arcs), any(0 < part < 1 for part in moved)
        paint_figure(canvas, x, floor - 24, size, dress, Pose(step=abs(math.sin(x / 6)) * runs))
        canvas.ellipse(x, floor, radius, radius * 0.25, faded("#000000", 0.35))
        paint_ball(canvas, x, y, radius, ball, x / radius)
        return finished(canvas)

    return Clip(frame, claims)


# A person who does two things.

PLACES = tuple(BACKDROPS)
THINGS = ("tree", "bench", "lamp", "tent")
CLOTHES = ("red", "blue", "yellow", "green", "purple")
ACTIONS = ("walks to the left", "walks to the right", "jumps", "raises both arms", "crouches")
WALKS = {"walks to the left": -1, "walks to the right": 1}
ENDS = {-1: "on the left", 0: "in the middle", 1: "on the right"}
RELATIONS = {-1: "farther from", 0: "no nearer to", 1: "nearer to"}

PERSON = Statement(
    "person", "scene", "person {place}, {shirt} shirt, {trousers} trousers",
    "A person in a {shirt} shirt and {trousers} trousers is {place}.",
    {"place": PLACES, "shirt": CLOTHES, "trousers": ("blue", "black", "white")},
)  # fmt: skip
HAT = Statement("hat", "scene", "{hat} hat", "The person wears a {hat} hat.", {"hat": CLOTHES})
THING = Statement("thing", "scene", "{thing} {side}", "A {thing} is on the {side}.", {"thing": THINGS, "side": SIDES})
PERSON_FIRST = Statement("person_first", "events", "first {action}", "First the person {action}.", {"action": ACTIONS})
PERSON_THEN = Statement("person_then", "events", "then {action}", "Then the person {action}.", {"action": ACTIONS})
PERSON_END = Statement(
    "person_end", "order", "ends {end}", "In the end the person is {end}.", {"end": tuple(ENDS.values())}
)
NEARER = Statement(
    "nearer", "order", "{relation} the {thing}", "That is {relation} the {thing} than before.",
    {"relation": tuple(RELATIONS.values()), "thing": THINGS},
)  # fmt: skip


def _pose(action: str, done: float, x: float) -> Pose:
    """How the person stands while `action` is done to the share `done`."""
    middle = math.sin(math.pi * done)
    if action in WALKS:
        return Pose(step=abs(math.sin(x / 5)) * (0 < done < 1))
    high = min(1.6 * middle, 1.0)
    return Pose(
        arms=high * (action == "raises both arms"),
        crouch=high * (action == "crouches"),
        lift=46 * middle * (action == "jumps"),
    )


def draw_person(rng: np.random.Generator, scale: int) -> Clip:
    """A person who walks, jumps, raises the arms or crouches, and then does another of these."""
    place, thing, side = pick(rng, PLACES), pick(rng, THINGS), pick(rng, SIDES)
    shirt, hat = pick_two(rng, CLOTHES)
    trousers = pick(rng, ("blue", "black", "white"), shirt, *(["white"] if place == "in the snow" else []))
    first, then = pick_two(rng, ACTIONS)
    end = WALKS.get(first, 0) + WALKS.get(then, 0)
    claims = (
        PERSON(place=place, shirt=shirt, trousers=trousers), HAT(hat=hat), THING(thing=thing, side=side),
        PERSON_FIRST(action=first), PERSON_THEN(action=then),
        PERSON_END(end=ENDS[end]), NEARER(relation=RELATIONS[end * (1 if side == "right" else -1)], thing=thing),
    )  # fmt: skip
    still, foot, size = surface(scale), float(rng.uniform(198, 206)), float(rng.uniform(104, 116))
    BACKDROPS[place](still, rng)
    paint_thing(still, thing, 31 if side == "left" else 193, float(rng.uniform(176, 184)))
    middle, far = 112 + float(rng.uniform(-4, 4)), float(rng.uniform(54, 62))
    dress = Dress(shirt, trousers, hat, pick(rng, ("#e5b48d", "#b97c50", "#7c4f30")))

    def frame(share: float) -> Image.Image:
        canvas, done = copy_of(still), (_passed(share, FIRST_MOVE), _passed(share, THEN_MOVE))
        x = middle + far * (WALKS.get(first, 0) * done[0] + WALKS.get(then, 0) * done[1])
        pose = _pose(then, done[1], x) if share > 0.5 else _pose(first, done[0], x)
        paint_figure(canvas, x, foot, size, dress, pose)
        return finished(canvas)

    return Clip(frame, claims)


# A film scene with two cars.

ROADS = ("in a city", "in a desert", "by the sea", "in the mountains", "in a forest")
CARS = ("red", "blue", "yellow", "green", "white", "purple")
LANES = {"upper": 152.0, "lower": 210.0}
LIGHTS = ("night", "sunset", "day")
CHANGES = {-1: "fades", 0: "stays the same", 1: "grows"}

FILM = Statement(
    "film", "scene", "film scene, two cars {road}", "The film scene shows two cars on a road {road}.", {"road": ROADS}
)
CAR = Statement(
    "car", "scene", "{lane} lane {colour}", "The car on the {lane} lane is {colour}.",
    {"lane": tuple(LANES), "colour": CARS}, key=("lane",),
)  # fmt: skip
LIGHT = Statement(
    "light", "events", "{begin}, later {end}", "It is {begin} at first and {end} at last.",
    {"begin": LIGHTS, "end": LIGHTS},
)  # fmt: skip
CAR_FIRST = Statement(
    "car_first", "events", "first {colour} goes {way}", "First the {colour} car drives to the {way}.",
    {"colour": CARS, "way": SIDES},
)  # fmt: skip
CAR_THEN = Statement(
    "car_then", "events", "then {colour} goes {way}", "Then the {colour} car drives to the {way}.",
    {"colour": CARS, "way": SIDES},
)  # fmt: skip
CAR_WAYS = Statement(
    "car_ways", "order", "{ways}", "The cars drive {ways}.", {"ways": ("the same way", "opposite ways")}
)
CHANGE = Statement("change", "order", "light {change}", "The light {change}.", {"change": tuple(CHANGES.values())})


def draw_film_scene(rng: np.random.Generator, scale: int) -> Clip:
    """Two cars that drive one after the other, while the light may change in between."""
    road, begin, end = pick(rng, ROADS), pick(rng, LIGHTS), pick(rng, LIGHTS)
    colours = dict(zip(LANES, pick_two(rng, CARS), strict=True))
    order = ("upper", "lower") if rng.random() < 0.5 else ("lower", "upper")
    ways = (pick(rng, SIDES), pick(rng, SIDES))
    change = int(np.sign(LIGHTS.index(end) - LIGHTS.index(begin)))
    claims = (
        FILM(road=road), *(CAR(lane=lane, colour=colours[lane]) for lane in LANES), LIGHT(begin=begin, end=end),
        CAR_FIRST(colour=colours[order[0]], way=ways[0]), CAR_THEN(colour=colours[order[1]], way=ways[1]),
        CAR_WAYS(ways="the same way" if ways[0] == ways[1] else "opposite ways"), CHANGE(change=CHANGES[change]),
    )  # fmt: skip
    seed, length = int(rng.integers(2**31)), float(rng.uniform(88, 102))
    stills = [paint_road(seed, scale, road, light) for light in (begin, end)]
    edge = length / 2 + float(rng.uniform(3, 8))

    def frame(share: float) -> Image.Image:
        canvas, turned = copy_of(stills[share > 0.5]), _passed(share, (0.45, 0.55))
        if 0 < turned < 1:
            canvas.image.paste(Image.blend(stills[0].image, stills[1].image, turned))
        for lane in LANES:
            number = order.index(lane)
            done = _passed(share, (FIRST_MOVE, THEN_MOVE)[number])
            facing = 1 if ways[number] == "right" else -1
            x = CLIP_SIDE / 2 + facing * (done - 0.5) * (CLIP_SIDE - 2 * edge)
            car(canvas, x, LANES[lane], length, COLOURS[colours[lane]], facing)
        return finished(canvas)

    return Clip(frame, claims)


# A lesson at a board.

TOPICS = ("Sums", "Maths", "Count", "Order", "Logic", "Steps", "Digits", "Tests", "Games", "Years")
ON_DARK, ON_WHITE = ("white", "yellow", "pink"), ("red", "blue", "black")
CHALKS = (*ON_DARK, *ON_WHITE)
NUMBERS = tuple(str(number) for number in range(1, 13))
ON_DESK = ("ball", "book", "cup", "cone")

LESSON = Statement(
    "lesson", "scene", "lesson {topic}, {board} board", "A lesson called {topic} is held at a {board} board.",
    {"topic": TOPICS, "board": tuple(BOARDS)},
)  # fmt: skip
DESK = Statement(
    "desk", "scene", "{colour} {thing} on the desk", "A {colour} {thing} is on the desk.",
    {"colour": BRIGHT, "thing": ON_DESK},
)  # fmt: skip
NUMBER_FIRST = Statement(
    "number_first", "events", "first {colour} {number} {side}", "First a {colour} {number} appears on the {side}.",
    {"colour": CHALKS, "number": NUMBERS, "side": SIDES},
)  # fmt: skip
NUMBER_THEN = Statement(
    "number_then", "events", "then {colour} {number} {side}", "Then a {colour} {number} appears on the {side}.",
    {"colour": CHALKS, "number": NUMBERS, "side": SIDES},
)  # fmt: skip
MORE = Statement(
    "more", "order", "second is {difference} {relation}", "The second number is {difference} {relation}.",
    {"difference": NUMBERS[:-1], "relation": ("more", "less")},
)  # fmt: skip
LARGER = Statement("larger", "order", "larger one {side}", "The larger number is on the {side}.", {"side": SIDES})


def _chalked(board: Canvas, number: str, side: str, colour: str, size: float) -> tuple[Canvas, float, float]:
    """The board with a number on one side, and from where to where the number reaches."""
    canvas, x = copy_of(board), 62 if side == "left" else 162
    canvas.text(x, 110, number, size, COLOURS[colour], anchor="mm", bold=True)
    half = float(font(size).getlength(number)) / 2 + 6
    return canvas, x - half, x + half


def draw_lesson(rng: np.random.Generator, scale: int) -> Clip:
    """Two numbers that are written on a board, one after the other."""
    board, topic = pick(rng, tuple(BOARDS)), pick(rng, TOPICS)
    thing, colour = pick(rng, ON_DESK), pick(rng, BRIGHT)
    values, chalks = pick_two(rng, NUMBERS), ON_WHITE if board == "white" else ON_DARK
    inks = (pick(rng, chalks), pick(rng, chalks))
    sides = SIDES if rng.random() < 0.5 else SIDES[::-1]
    more = int(values[1]) - int(values[0])
    claims = (
        LESSON(topic=topic, board=board), DESK(colour=colour, thing=thing),
        NUMBER_FIRST(colour=inks[0], number=values[0], side=sides[0]),
        NUMBER_THEN(colour=inks[1], number=values[1], side=sides[1]),
        MORE(difference=str(abs(more)), relation="more" if more > 0 else "less"), LARGER(side=sides[int(more > 0)]),
    )  # fmt: skip
    empty = paint_classroom(rng, scale, board, topic)
    paint_on_desk(empty, thing, colour, float(rng.uniform(34, 190)), float(rng.uniform(207, 214)))
    size = float(rng.uniform(68, 76))
    written = [empty]
    ranges = []
    for value, side, ink in zip(values, sides, inks, strict=True):
        canvas, low, high = _chalked(written[-1], value, side, ink, size)
        written.append(canvas)
        ranges.append((low, high))

    def frame(share: float) -> Image.Image:
        number = int(share > 0.5)
        done = _passed(share, ((0.04, 0.26), (0.57, 0.79))[number])
        canvas, (low, high) = copy_of(written[number]), ranges[number]
        edge = round((low + (high - low) * done) * canvas.scale)
        box = (round(low * canvas.scale), 0, edge, canvas.image.height)
        if done:
            canvas.image.paste(written[number + 1].image.crop(box), box)
        if 0 < done < 1:
            x, y = low + (high - low) * done, 110 + 26 * math.sin(done * 9)
            canvas.line([(x + 12, y + 24), (x + 34, y + 90)], "#5f6f86", 22, caps=True)
            canvas.ellipse(x + 5, y + 7, 11, fill="#e5b48d")
            canvas.line([(x, y), (x + 4, y + 5)], "#ffffff", 4)
        return finished(canvas)

    return Clip(frame, claims)


KINDS = (
    Kind(
        "ball_game", DOMAIN, "Sports", (GAME, BALL, PLAYER, GOAL, BALL_FIRST, BALL_THEN, BALL_END), draw_ball_game
    ),
    Kind(
        "person", DOMAIN, "Human Activity",
        (PERSON, HAT, THING, PERSON_FIRST, PERSON_THEN, PERSON_END, NEARER), draw_person,
    ),
    Kind("film_scene", DOMAIN, "Movies", (FILM, CAR, LIGHT, CAR_FIRST, CAR_THEN, CAR_WAYS, CHANGE), draw_film_scene),
    Kind("lesson", DOMAIN, "Education", (LESSON, DESK, NUMBER_FIRST, NUMBER_THEN, MORE, LARGER), draw_lesson),
)  # fmt: skip
