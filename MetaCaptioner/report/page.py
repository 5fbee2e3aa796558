"""Everything in one HTML file that needs no network and runs no code but its own."""

import base64
import hashlib
import html
import re
from pathlib import Path

from MetaCaptioner.records.record import Record
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.text import shown

_HERE = Path(__file__).parent
_LIBRARY = _HERE / "vendor" / "chart.umd.min.js"
_PARTS = (
    "data",
    "dom",
    "charts",
    "routing",
    "account",
    "overview",
    "comparison",
    "gallery",
    "detail",
    "questions",
    "main",
)
_SLOT = re.compile(r"\{\{ (\w+) \}\}")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


def json_in_html(value: object) -> str:
    """JSON that may stand in a script element: no character of it can end the element or begin a comment."""
    text = to_json(value, compact=True).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _visible(value: object) -> object:
    """The same data with texts in which nothing acts on the page that shows them."""
    if isinstance(value, str):
        return shown(value, lines=True)
    if isinstance(value, dict):
        return {_visible(name): _visible(one) for name, one in value.items()}
    return [_visible(one) for one in value] if isinstance(value, list | tuple) else value


def _hash(content: str) -> str:
    """The source expression by which a content security policy knows an inline element (CSP Level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def render(data: Record, title: str) -> bytes:
    """The page. Its policy lets nothing run but the scripts and styles that are put in here, and nothing be fetched."""
    library = _SOURCE_MAP.sub("", _LIBRARY.read_text(encoding="utf-8"))
    own = "\n".join((_HERE / "web" / f"{name}.js").read_text(encoding="utf-8") for name in _PARTS)
    program = f'(() => {{\n"use strict";\n{own}\n}})();\n'
    style = (_HERE / "web" / "page.css").read_text(encoding="utf-8")
    slots = {
        "title": html.escape(shown(title)),
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(library)} {_hash(program)}; base-uri 'none'; form-action 'none'",
        "style": style,
        "library": library,
        "program": program,
        "data": json_in_html(_visible(data)),
    }
    # One pass: what is filled in is not looked through again.
    template = (_HERE / "web" / "page.html").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: slots[slot[1]], template).encode()
