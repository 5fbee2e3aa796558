"""Draws the rooms of the package and who imports whom, from the code: `docs/architecture.svg`.

    python script/draw_architecture.py

The floors are those of the contract in pyproject.toml, by which `lint-imports` holds the order. An arrow is drawn only
where no longer way of arrows says the same.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
PACKAGE = "MetaCaptioner"
_WIDTH, _FLOOR, _BOX_HEIGHT, _GAP = 1180, 112, 70, 22
_LETTERS = 6.0  # pixels that a letter of the small text takes on average

Place = tuple[float, float, float]
"""Left edge, top edge, width of a box, in pixels."""


def floors() -> list[list[str]]:
    """The rooms of each floor, the highest first; the commands are one room, `commands`."""
    [contract] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = [re.findall(r"\w+", layer) for layer in contract["layers"]]
    return [["commands"], *named[1:]]


def arrows(rooms: set[str]) -> set[tuple[str, str]]:
    """(who imports, whom) between rooms."""
    sys.path.insert(0, str(ROOT))
    graph = grimp.build_graph(PACKAGE)

    def room(module: str) -> str:
        name = module.split(".")[1] if "." in module else PACKAGE
        return name if name in rooms else "commands"

    modules = [module for module in graph.modules if module != PACKAGE]
    pairs = {(room(one), room(other)) for one in modules for other in graph.find_modules_directly_imported_by(one)}
    return {(one, other) for one, other in pairs if one != other}


def without_detours(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The transitive reduction: no arrow that a way of others says.

    Source: A. V. Aho, M. R. Garey, J. D. Ullman, "The transitive reduction of a directed graph", 1972.
    """

    def reach(begin: str, left_out: tuple[str, str]) -> set[str]:
        found: set[str] = set()
        new = [begin]
        while new:
            one = new.pop()
            nearest = {other for first, other in pairs if first == one and (first, other) != left_out} - found
            found |= nearest
            new += nearest
        return found

    return {(one, other) for one, other in pairs if other not in reach(one, (one, other))}


def job_of(room: str) -> str:
    """The sentence in which a room's `__init__.py` says what it is for."""
    if room == "commands":
        return (
            "plan, inferdomain, captionpipeline, inferscore, filter, status, verify, …: each says what its stage adds."
        )
    path = ROOT / PACKAGE / room / "__init__.py"
    if not path.exists():
        path = ROOT / PACKAGE / f"{room}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ")


def places(named: list[list[str]]) -> dict[str, Place]:
    """Where the box of each room stands."""
    found = {}
    for number, rooms in enumerate(named):
        width = min(420.0, (_WIDTH - 40 - _GAP * (len(rooms) - 1)) / len(rooms))
        left = (_WIDTH - width * len(rooms) - _GAP * (len(rooms) - 1)) / 2
        for place, room in enumerate(rooms):
            found[room] = (left + place * (width + _GAP), 20.0 + number * _FLOOR, width)
    return found


def _boxes(where: dict[str, Place]) -> Iterator[str]:
    for room, (left, top, width) in where.items():
        yield f'<rect x="{left:.0f}" y="{top:.0f}" width="{width:.0f}" height="{_BOX_HEIGHT}" rx="6" class="box"/>'
        yield f'<text x="{left + 12:.0f}" y="{top + 19:.0f}" class="name">{escape(room)}</text>'
        for number, line in enumerate(wrap(job_of(room), int((width - 24) / _LETTERS))[:3]):
            yield f'<text x="{left + 12:.0f}" y="{top + 34 + 13 * number:.0f}" class="job">{escape(line)}</text>'


def _lines(where: dict[str, Place], pairs: set[tuple[str, str]]) -> Iterator[str]:
    for one, other in sorted(pairs):
        (left, top, width), (below_left, below_top, below_width) = where[one], where[other]
        start, end = left + width / 2, below_left + below_width / 2
        if left <= end <= left + width:
            start = end
        elif below_left <= start <= below_left + below_width:
            end = start
        yield f'<path d="M{start:.0f} {top + _BOX_HEIGHT:.0f} L{end:.0f} {below_top - 4:.0f}" class="arrow"/>'


def draw() -> str:
    """The picture, as SVG."""
    named = floors()
    rooms = {room for floor in named for room in floor}
    upward = [pair for pair in arrows(rooms) if _floor_of(named, pair[0]) >= _floor_of(named, pair[1])]
    if upward:
        raise SystemExit(f"error: imports that go upward: {upward}")
    where = places(named)
    height = 20 + len(named) * _FLOOR
    style = (
        "svg{background:#fff;font-family:sans-serif}.box{fill:#f4f6f9;stroke:#5b6b80}.name{font-size:14px;font-weight:bold;"
        "fill:#1d2733}.job{font-size:11px;fill:#43505e}.arrow{stroke:#8a97a8;fill:none;marker-end:url(#tip)}"
    )
    tip = '<path d="M0 0L6 3L0 6z" fill="#8a97a8"/>'
    marker = f'<marker id="tip" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">{tip}</marker>'
    content = [*_lines(where, without_detours(arrows(rooms))), *_boxes(where)]
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style><defs>{marker}</defs>'
    return "\n".join([head, *content, "</svg>", ""])


def _floor_of(named: list[list[str]], room: str) -> int:
    return next(number for number, rooms in enumerate(named) if room in rooms)


def main() -> int:
    """Write the picture; with --check, only say whether it is as the code is."""
    now = draw()
    if "--check" in sys.argv[1:]:
        return int(not PICTURE.exists() or PICTURE.read_text() != now)
    PICTURE.write_text(now)
    return 0


if __name__ == "__main__":
    sys.exit(main())
