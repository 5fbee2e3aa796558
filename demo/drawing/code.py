"""Code & Programming: a function in an editor, a notebook cell, a failed run in a terminal, HTML and its page."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scene import SIDE, Kind, Picture, Statement
from .canvas import MONO_ADVANCE, Canvas, faded
from .chance import pick, sample
from .source import DARK, LIGHT, paint_cell, paint_editor, paint_source, paint_terminal
from .widgets import COLOURS, button, ground, tint

DOMAIN = "Code & Programming"
AGENTS = ("surface", "code", "behaviour")

COUNTS = ("one", "two", "three")
SIGNS = {"plus": "+", "minus": "-", "times": "*"}

FUNCTIONS = (
    *("score", "price", "speed", "level", "width", "value", "power", "points", "budget", "weight", "length", "profit"),
    *("gain", "cost", "size", "depth", "share", "mass", "total", "bonus"),
)
ARGUMENTS = ("a", "b", "c", "d", "k", "n", "p", "s", "t", "w", "x", "y")
SMALL = ("2", "3", "4", "5")
VERBS = {"plus": "adds", "minus": "subtracts", "times": "multiplies"}

VARIABLES = ("a", "b", "c", "d", "k", "n", "x", "y", "cats", "cups", "days", "rows", "hens", "pens", "toys", "beds")
DIGITS = tuple(str(number) for number in range(1, 10))

PROGRAMS = ("python", "pytest", "ipython", "pypy")
FILES = (
    *("game", "shop", "test", "main", "maze", "bank", "radio", "robot", "chess", "tools"),
    *("plot", "music", "train", "solve", "clean", "model", "parse", "store"),
)
CHECKS = tuple(str(number) for number in range(2, 10))
LINES = tuple(str(number) for number in range(2, 100))
CAUSES = {
    "NameError": "an unknown name",
    "TypeError": "a wrong type",
    "ValueError": "a bad value",
    "KeyError": "a missing key",
    "IndexError": "a list too short",
    "SyntaxError": "broken grammar",
    "ImportError": "a missing module",
    "MemoryError": "too little memory",
}
SCREENS = {
    "black": "#14161b",
    "blue": "#12398a",
    "green": "#0c5230",
    "purple": "#571a6b",
    "red": "#741c1c",
    "white": "#f6f6f1",
}

HEADINGS = (
    *("Pancakes", "Recipes", "Garden", "Travel", "Music", "Sports", "Winter", "Summer", "Animals", "Planets"),
    *("Books", "Movies", "School", "Market", "Camping", "Fishing"),
)
HEADING_COLOURS = ("red", "orange", "green", "blue", "purple", "black")
ENTRIES = (
    *("Eggs", "Milk", "Flour", "Apples", "Tea", "Boots", "Tent", "Map", "Drums", "Piano", "Mars", "Venus"),
    *("Lion", "Zebra", "Snow", "Beach", "Poems", "Chess", "Bread", "Honey"),
)
PLACES = ("first", "second", "third")
ACTIONS = {
    "Print": "puts the page on paper",
    "Save": "stores the page",
    "Send": "mails the page",
    "Back": "leaves the page",
    "Edit": "changes the page",
    "Zoom": "enlarges the page",
}

EDITOR = Statement(
    "editor",
    "surface",
    "code editor, {theme} theme, function",
    "A code editor in a {theme} theme holds a function.",
    {"theme": ("dark", "light")},
)
FUNCTION = Statement(
    "function",
    "code",
    "def {name} of {first} {second}",
    "The function {name} takes {first} and {second}.",
    {"name": FUNCTIONS, "first": ARGUMENTS, "second": ARGUMENTS},
)
RETURN = Statement(
    "return",
    "code",
    "returns {first} {operator} {second}",
    "It returns {first} {operator} {second}.",
    {"first": ARGUMENTS, "operator": tuple(SIGNS), "second": ARGUMENTS},
)
CALL = Statement(
    "call", "code", "called with {one} {two}", "It is called with {one} and {two}.", {"one": SMALL, "two": SMALL}
)
VERB = Statement("verb", "behaviour", "{verb}", "The function {verb} two numbers.", {"verb": tuple(VERBS.values())})
RESULT = Statement(
    "result",
    "behaviour",
    "call gives {result}",
    "The call gives {result}.",
    {"result": tuple(str(number) for number in range(1, 21))},
)

NOTEBOOK = Statement(
    "notebook",
    "surface",
    "notebook cell, {colour} edge, script",
    "A notebook cell with its edge in {colour} holds a script.",
    {"colour": tuple(COLOURS)},
)
SET = Statement(
    "set",
    "code",
    "{name} = {value}",
    "The variable {name} is set to {value}.",
    {"name": VARIABLES, "value": DIGITS},
    key=("name",),
)
PRINT = Statement(
    "print",
    "code",
    "print {left} {operator} {right}",
    "The last line prints {left} {operator} {right}.",
    {"left": VARIABLES, "operator": ("plus", "minus"), "right": VARIABLES},
)
LARGEST = Statement("largest", "behaviour", "largest is {name}", "The largest variable is {name}.", {"name": VARIABLES})
OUTPUT = Statement(
    "output",
    "behaviour",
    "output {result}",
    "The output is {result}.",
    {"result": tuple(str(number) for number in range(1, 18))},
)

TERMINAL = Statement(
    "terminal",
    "surface",
    "{colour} terminal, failed run",
    "A terminal window in {colour} shows a failed run.",
    {"colour": tuple(SCREENS)},
)
COMMAND = Statement(
    "command",
    "code",
    "{program} runs {file}",
    "The command {program} runs the file {file}.",
    {"program": PROGRAMS, "file": FILES},
)
TALLY = Statement(
    "tally",
    "code",
    "{passed} ok {failed} bad",
    "It reports {passed} checks as ok and {failed} as bad.",
    {"passed": CHECKS, "failed": CHECKS},
)
ERROR = Statement(
    "error",
    "code",
    "{error} in line {line}",
    "It stops in line {line} with {error}.",
    {"line": LINES, "error": tuple(CAUSES)},
)
MOSTLY = Statement("mostly", "behaviour", "most {outcome}", "Most checks {outcome}.", {"outcome": ("pass", "fail")})
CAUSE = Statement("cause", "behaviour", "cause {cause}", "The cause is {cause}.", {"cause": tuple(CAUSES.values())})

MARKUP = Statement(
    "markup",
    "surface",
    "HTML source {place} its page",
    "HTML source stands {place} the page that it makes.",
    {"place": ("above", "below")},
)
HEADING = Statement(
    "heading",
    "code",
    "{colour} heading {heading}",
    "The heading {heading} is {colour}.",
    {"heading": HEADINGS, "colour": HEADING_COLOURS},
)
ENTRY = Statement(
    "entry",
    "code",
    "{place} entry {word}",
    "The {place} list entry is {word}.",
    {"place": PLACES, "word": ENTRIES},
    key=("place",),
)
PAGE_BUTTON = Statement(
    "page_button",
    "code",
    "{colour} button {word}",
    "The button {word} is {colour}.",
    {"word": tuple(ACTIONS), "colour": tuple(COLOURS)},
)
LISTED = Statement("listed", "behaviour", "{count} entr(y|ies)", "The list has {count} entr(y|ies).", {"count": COUNTS})
ACTION = Statement(
    "action", "behaviour", "button {action}", "The button {action}.", {"action": tuple(ACTIONS.values())}
)


def _calculate(left: str, operator: str, right: str) -> str:
    a, b = int(left), int(right)
    return str({"plus": a + b, "minus": a - b, "times": a * b}[operator])


def draw_editor(rng: np.random.Generator, scale: int) -> Picture:
    """A code editor with a function of two lines and a line that calls it."""
    theme, name = pick(rng, ("dark", "light")), pick(rng, FUNCTIONS)
    first, second = sample(rng, ARGUMENTS, 2)
    operator = pick(rng, tuple(SIGNS))
    one, two = sorted(sample(rng, SMALL, 2), reverse=True)
    if operator != "minus" and rng.random() < 0.5:
        one, two = two, one
    lines = (
        f"def {name}({first}, {second}):",
        f"  return {first} {SIGNS[operator]} {second}",
        "",
        f"print({name}({one}, {two}))",
    )
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    paint_editor(canvas, rng, theme, name, lines)
    claims = (
        EDITOR(theme=theme),
        FUNCTION(name=name, first=first, second=second),
        RETURN(first=first, operator=operator, second=second),
        CALL(one=one, two=two),
        VERB(verb=VERBS[operator]),
        RESULT(result=_calculate(one, operator, two)),
    )
    return Picture(canvas.finish(), claims)


def draw_notebook(rng: np.random.Generator, scale: int) -> Picture:
    """A cell of a notebook with assignments and a print."""
    colour, count = pick(rng, tuple(COLOURS)), int(rng.integers(2, 4))
    names, values = sample(rng, VARIABLES, count), sample(rng, DIGITS, count)
    operator = pick(rng, ("plus", "minus"))
    left, right = sample(rng, range(count), 2)
    if operator == "minus" and int(values[left]) < int(values[right]):
        left, right = right, left
    lines = [f"{name} = {value}" for name, value in zip(names, values, strict=True)]
    lines.append(f"print({names[left]} {SIGNS[operator]} {names[right]})")
    canvas = Canvas(SIDE, SIDE, tint(rng, "#f7f7f5", 0.06), scale)
    paint_cell(canvas, rng, COLOURS[colour], lines)
    largest = names[max(range(count), key=lambda place: int(values[place]))]
    claims = (
        NOTEBOOK(colour=colour),
        *(SET(name=name, value=value) for name, value in zip(names, values, strict=True)),
        PRINT(left=names[left], operator=operator, right=names[right]),
        LARGEST(name=largest),
        OUTPUT(result=_calculate(values[left], operator, values[right])),
    )
    return Picture(canvas.finish(), claims)


def draw_terminal(rng: np.random.Generator, scale: int) -> Picture:
    """A terminal window with a command, its checks and the error that ended it."""
    colour, program, file = pick(rng, tuple(SCREENS)), pick(rng, PROGRAMS), pick(rng, FILES)
    passed, failed = sample(rng, CHECKS, 2)
    line, error = pick(rng, LINES), pick(rng, tuple(CAUSES))
    canvas = Canvas(SIDE, SIDE, "#ffffff", scale)
    ground(canvas, rng)
    screen = tint(rng, SCREENS[colour], 0.06)
    white = colour == "white"
    pen, green, red = ("#15181d", "#0d7a3a", "#c01f1f") if white else ("#f1f3f6", "#7dea9c", "#ffb0a0")
    x0, y0, _, y1 = paint_terminal(canvas, rng, screen, pen)
    size = rng.uniform(28.5, 31)
    left, step = x0 + rng.uniform(12, 20), (y1 - y0 - 40) / 5.4
    rows = (
        (f"$ {program} {file}.py", pen),
        (f"{passed} ok, {failed} bad", green),
        (f"line {line}:", pen),
        (error, red),
        ("$", pen),
    )
    cell = size * MONO_ADVANCE
    for number, (text, shade) in enumerate(rows):
        canvas.mono(left, y0 + 46 + number * step, text, size, shade, bold=shade == red)
    last = y0 + 46 + step * (len(rows) - 1)
    canvas.rect((left + 2 * cell, last, left + 3 * cell, last + 34), faded(pen, 0.85))
    claims = (
        TERMINAL(colour=colour),
        COMMAND(program=program, file=file),
        TALLY(passed=passed, failed=failed),
        ERROR(line=line, error=error),
        MOSTLY(outcome="pass" if int(passed) > int(failed) else "fail"),
        CAUSE(cause=CAUSES[error]),
    )
    return Picture(canvas.finish(), claims)


def draw_markup(rng: np.random.Generator, scale: int) -> Picture:
    """HTML source and, below or above it, the page that it makes."""
    place, heading, shade = pick(rng, ("above", "below")), pick(rng, HEADINGS), pick(rng, HEADING_COLOURS)
    entries = sample(rng, ENTRIES, int(rng.integers(1, 4)))
    word, colour = pick(rng, tuple(ACTIONS)), pick(rng, tuple(COLOURS))
    lines = (f"<h1>{heading}</h1>", *(f"<li>{entry}</li>" for entry in entries), f"<button>{word}</button>")
    canvas = Canvas(SIDE, SIDE, tint(rng, "#ffffff", 0.03), scale)
    step = rng.uniform(33, 36) if len(entries) == 3 else rng.uniform(36, 42)
    high = step * len(lines) + 22
    top = 0.0 if place == "above" else SIDE - high
    dark = bool(rng.random() < 0.5)
    canvas.rect((0, top, SIDE, top + high), tint(rng, "#1e222b" if dark else "#eaeef4", 0.06))
    edge = high if place == "above" else top
    canvas.rect((0, edge - 3, SIDE, edge + 3), "#8e98a8")
    size = rng.uniform(28, 29)
    paint_source(canvas, rng.uniform(10, 40), top + 10, lines, size, step, DARK if dark else LIGHT)
    _page(canvas, rng, (edge + 3 if place == "above" else 0, SIDE - high), heading, shade, entries)
    low = SIDE - 4 if place == "above" else edge - 4
    wide = canvas.text_width(word, 29) + rng.uniform(40, 90)
    left = rng.uniform(16, SIDE - wide - 20)
    button(canvas, (left, low - 52, left + wide, low - 8), word, colour, tint(rng, COLOURS[colour]), 29, 8)
    claims = (
        MARKUP(place=place),
        HEADING(heading=heading, colour=shade),
        *(ENTRY(place=PLACES[number], word=entry) for number, entry in enumerate(entries)),
        PAGE_BUTTON(word=word, colour=colour),
        LISTED(count=COUNTS[len(entries) - 1]),
        ACTION(action=ACTIONS[word]),
    )
    return Picture(canvas.finish(), claims)


def _page(
    canvas: Canvas,
    rng: np.random.Generator,
    area: tuple[float, float],
    heading: str,
    shade: str,
    entries: Sequence[str],
) -> None:
    """The heading and the list of a page, in the area of this top and height; 60 pixels stay free for its button."""
    top, high = area
    left = rng.uniform(14, 60)
    head = min(60, (high - 60) / (len(entries) + 1.3) * 1.3)
    canvas.text(left, top + head / 2 + 2, heading, 42, COLOURS[shade], anchor="lm", bold=True)
    step = min((high - 62 - head) / len(entries), 50)
    for number, entry in enumerate(entries):
        y = top + head + (number + 0.5) * step
        canvas.ellipse(left + 16, y, 5, fill="#15181d")
        canvas.text(left + 34, y, entry, 29, "#15181d", anchor="lm")
    for line in range(round(top + head + len(entries) * step) + 12, round(top + high - 74), 18):
        canvas.rect((left + 2, line, rng.uniform(left + 100, SIDE - 20), line + 6), "#d9dce1", radius=3)


KINDS: tuple[Kind, ...] = (
    Kind("editor_function", DOMAIN, "Code OCR", (EDITOR, FUNCTION, RETURN, CALL, VERB, RESULT), draw_editor),
    Kind("notebook_script", DOMAIN, "Code Understanding", (NOTEBOOK, SET, PRINT, LARGEST, OUTPUT), draw_notebook),
    Kind("terminal_error", DOMAIN, "Code OCR", (TERMINAL, COMMAND, TALLY, ERROR, MOSTLY, CAUSE), draw_terminal),
    Kind("html_page", DOMAIN, "Web Code", (MARKUP, HEADING, ENTRY, PAGE_BUTTON, LISTED, ACTION), draw_markup),
)
