"""Code & Programming: a Python editor, a terminal with a traceback, HTML beside its page."""

from __future__ import annotations

import re

import numpy as np

from .canvas import MONO_ADVANCE, Canvas, faded
from .registry import Picture, picture
from .ui import browser

DARK = {
    "comment": "#6a9955",
    "string": "#ce9178",
    "keyword": "#c586c0",
    "builtin": "#dcdcaa",
    "number": "#b5cea8",
    "plain": "#d4d4d4",
}
PYTHON = re.compile(
    r"(?P<comment>#.*)|(?P<string>f?\"[^\"]*\")|(?P<keyword>\b(?:def|for|in|if|return|from|import|while|not|else)\b)"
    r"|(?P<builtin>\b\w+(?=\())|(?P<number>\b\d+\b)|(?P<plain>\w+|\s+|.)"
)
LIGHT = {"comment": "#7a8794", "tag": "#8b1a4a", "name": "#8a5a00", "string": "#0b6e4f", "plain": "#1f2937"}
HTML = re.compile(
    r"(?P<comment><!--.*?-->)|(?P<tag></?[a-z0-9]+|/?>|<!\w+)|(?P<name>\b[a-z]+(?==))|(?P<string>\"[^\"]*\")|(?P<plain>\w+|\s+|.)"
)


def _highlight(
    canvas: Canvas, x: float, y: float, line: str, size: float, pattern: re.Pattern[str], colours: dict[str, str]
) -> None:
    """One line of source in the colours of its tokens."""
    for match in pattern.finditer(line):
        colour = colours[match.lastgroup or "plain"]
        canvas.mono(x + match.start() * size * MONO_ADVANCE, y, match.group(), size, colour)


PRIMES = """from math import isqrt


def is_prime(n):
    # try every divisor up to the root
    if n < 2:
        return False
    for d in range(2, isqrt(n) + 1):
        if n % d == 0:
            return False
    return True


def primes(limit):
    return [n for n in range(limit) if is_prime(n)]


found = primes(50)
print(f"{len(found)} primes: {found}")"""


@picture("code_snippets", "python_editor.png")
def python_editor(rng: np.random.Generator) -> Picture:
    """A dark code editor with a file tree, two tabs and a Python program that finds primes."""
    canvas = Canvas(768, 560, "#1e1e1e")
    canvas.rect((0, 0, 168, 534), "#252526")
    canvas.text(16, 14, "EXPLORER", 13, "#a5a5a5")
    for number, (name, depth) in enumerate(
        (("v  number-tools", 0), ("v  src", 1), ("primes.py", 2), ("factors.py", 2), ("tests", 1), ("README.md", 1))
    ):
        if name == "primes.py":
            canvas.rect((0, 38 + number * 26, 168, 64 + number * 26), "#37373d")
        canvas.text(
            16 + depth * 14, 51 + number * 26, name, 14, "#ffffff" if name == "primes.py" else "#c5c5c5", anchor="lm"
        )
    canvas.rect((168, 0, 768, 36), "#2d2d2d")
    canvas.rect((168, 0, 296, 36), "#1e1e1e")
    canvas.rect((168, 0, 296, 2), "#3794ff")
    canvas.text(186, 18, "primes.py    x", 14, "#ffffff", anchor="lm")
    canvas.text(314, 18, "factors.py", 14, "#9b9b9b", anchor="lm")
    canvas.rect((216, 46 + 7 * 24.5, 768, 46 + 8 * 24.5), "#2a2d2e")
    for number, line in enumerate(PRIMES.splitlines()):
        y, label = 48 + number * 24.5, str(number + 1)
        canvas.mono(208 - len(label) * 9.3, y, label, 15, "#c6c6c6" if number == 7 else "#6e7681")
        _highlight(canvas, 226, y, line, 16, PYTHON, DARK)
    canvas.rect((226 + 36 * 16 * MONO_ADVANCE, 48 + 7 * 24.5, 228 + 36 * 16 * MONO_ADVANCE, 68 + 7 * 24.5), "#e8e8e8")
    canvas.rect((0, 534, 768, 560), "#0a6cbd")
    canvas.text(14, 547, "main     0 errors, 0 warnings", 13, "#ffffff", anchor="lm")
    canvas.text(754, 547, "Ln 8, Col 37     UTF-8     Python 3.11", 13, "#ffffff", anchor="rm")
    return canvas.finish(), (
        "A dark code editor with the Python file primes.py: is_prime(n) tries every divisor up to the integer "
        "square root, and primes(limit) lists the primes below a limit, printed for 50. A file tree is on the "
        "left, the cursor is in line 8."
    )


TERMINAL = [
    ("prompt", "~/weather $ ls"),
    ("plain", "average.py   readings.csv   README.md"),
    ("prompt", "~/weather $ python average.py readings.csv"),
    ("plain", "Reading readings.csv ... 3 stations"),
    ("plain", "Oslo      mean  6.1 C"),
    ("plain", "Lisbon    mean 17.4 C"),
    ("plain", "Traceback (most recent call last):"),
    ("path", '  File "average.py", line 21, in <module>'),
    ("plain", "    main(sys.argv[1])"),
    ("path", '  File "average.py", line 16, in main'),
    ("plain", "    report(name, values)"),
    ("path", '  File "average.py", line 7, in report'),
    ("plain", "    mean = sum(values) / len(values)"),
    ("mark", "           ~~~~~~~~~~~~^~~~~~~~~~~~~"),
    ("error", "ZeroDivisionError: division by zero"),
    ("prompt", "~/weather $ "),
]


@picture("code_snippets", "terminal_traceback.png")
def terminal_traceback(rng: np.random.Generator) -> Picture:
    """A terminal in which a Python program stops with a ZeroDivisionError."""
    canvas = Canvas(704, 496, "#5b6a86")
    canvas.gradient((0, 0, 704, 496), [(0, "#6f86b5"), (1, "#40507a")])
    canvas.shadow((22, 20, 682, 474), 10, 0.5, radius=10)
    canvas.rect((22, 20, 682, 474), "#12151c", radius=10)
    canvas.rect((22, 20, 682, 60), "#2b303b", radius=10)
    canvas.rect((22, 48, 682, 60), "#2b303b")
    for x, colour in ((42, "#ff5f57"), (62, "#febc2e"), (82, "#28c840")):
        canvas.ellipse(x, 40, 6.5, fill=colour)
    canvas.text(352, 40, "ada@studio: ~/weather", 15, "#c7cedb", anchor="mm")
    colours = {"plain": "#d7dce5", "path": "#7fb4ff", "mark": "#ff8f87", "error": "#ff6b62"}
    for number, (kind, line) in enumerate(TERMINAL):
        y = 74 + number * 24.6
        if kind == "prompt":
            canvas.mono(40, y, line[:11], 16, "#6fdc8c")
            canvas.mono(40 + 11 * 16 * MONO_ADVANCE, y, line[11:], 16, "#ffffff")
        else:
            canvas.mono(40, y, line, 16, colours[kind], bold=kind == "error")
    canvas.rect((40 + 12 * 16 * MONO_ADVANCE, 73 + 15 * 24.6, 50 + 12 * 16 * MONO_ADVANCE, 93 + 15 * 24.6), "#d7dce5")
    return canvas.finish(), (
        "A terminal window in which 'python average.py readings.csv' prints mean temperatures for Oslo and Lisbon "
        "and then stops with a Python traceback: 'ZeroDivisionError: division by zero' in line 7, mean = "
        "sum(values) / len(values)."
    )


MARKUP = """<!DOCTYPE html>
<html>
<body>
  <h1>Pancakes</h1>
  <!-- list -->
  <ul>
    <li>2 eggs</li>
    <li>300 ml milk</li>
    <li>200 g flour</li>
  </ul>
  <a href="more.html">
    More recipes
  </a>
  <button class="go">
    Print
  </button>
</body>
</html>"""


def _rendered(canvas: Canvas, x: float) -> None:
    """The page that `MARKUP` gives, from x on."""
    canvas.text(x, 116, "Pancakes", 40, "#111111", bold=True)
    for number, entry in enumerate(("2 eggs", "300 ml milk", "200 g flour")):
        canvas.ellipse(x + 20, 202 + number * 34, 3.5, fill="#111111")
        canvas.text(x + 36, 202 + number * 34, entry, 20, "#111111", anchor="lm")
    canvas.text(x, 302, "More recipes", 20, "#1a4fd0")
    canvas.line([(x, 326), (x + canvas.text_width("More recipes", 20), 326)], "#1a4fd0", 1.3)
    canvas.rect((x, 346, x + 104, 386), "#e7f0ea", "#2f8f5b", 2, radius=6)
    canvas.text(x + 52, 366, "Print", 19, "#1c5f3b", anchor="mm")


@picture("code_snippets", "html_preview.png")
def html_preview(rng: np.random.Generator) -> Picture:
    """HTML source on the left, the page it renders to on the right."""
    canvas = Canvas(768, 512, "#ffffff")
    browser(canvas, "Live preview", "https://localhost:8000/pancakes.html")
    canvas.rect((0, 69, 404, 512), "#fafbfc")
    canvas.rect((0, 69, 404, 98), "#eef1f5")
    canvas.text(16, 83, "pancakes.html", 14, "#4b5563", anchor="lm")
    canvas.rect((405, 69, 768, 98), "#eef1f5")
    canvas.text(424, 83, "Preview", 14, "#4b5563", anchor="lm")
    canvas.rect((0, 98, 42, 512), "#f0f2f5")
    for number, line in enumerate(MARKUP.splitlines()):
        y, label = 106 + number * 22, str(number + 1)
        canvas.mono(34 - len(label) * 8.7, y, label, 14, "#9aa3af")
        _highlight(canvas, 56, y, line, 16, HTML, LIGHT)
    canvas.line([(404, 69), (404, 512)], "#c9ced6", 1.5)
    canvas.ellipse(404, 300, 12, fill="#ffffff", outline="#c9ced6", width=1.5)
    canvas.line([(400, 294), (407, 300), (400, 306)], faded("#4b5563", 1), 2)
    _rendered(canvas, 438)
    return canvas.finish(), (
        "A web editor with HTML source on the left and its rendered page on the right: the heading 'Pancakes', a "
        "list of 2 eggs, 300 ml milk and 200 g flour, a blue link 'More recipes' and a 'Print' button."
    )
