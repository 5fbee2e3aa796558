"""Everything in one HTML file that needs no network and runs no code but its own."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path

from MetaCaptioner.record import Record

_HERE = Path(__file__).parent
_LIBRARY = _HERE / "vendor" / "chart.umd.min.js"
_PARTS = ("data", "dom", "charts", "routing", "account", "overview", "comparison", "gallery", "detail", "main")
_SLOT = re.compile(r"\{\{ (\w+) \}\}")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*$", re.MULTILINE)


def json_in_html(value: object) -> str:
    """JSON that may stand in a script element: no character of it can end the element or begin a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode("utf-8", "replace").decode()


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
        "title": html.escape(title),
        "policy": f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(library)} {_hash(program)}; base-uri 'none'; form-action 'none'",
        "style": style,
        "library": library,
        "program": program,
        "data": json_in_html(data),
    }
    # One pass: what is filled in is not looked through again.
    template = (_HERE / "web" / "page.html").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: slots[slot[1]], template).encode("utf-8", "replace")
