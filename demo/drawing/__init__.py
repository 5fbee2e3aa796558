"""Drawings of the nine domains; `KINDS` lists every kind of drawing.

Each domain has a module with its statements and kinds; the other modules hold what these are painted with.
"""

from demo.scene import Kind, Statement

from . import code, infographic, knowledge, medical, natural, structure, synthetic, ui, video

_MODULES = (natural, structure, infographic, medical, ui, code, knowledge, synthetic, video)

KINDS: tuple[Kind, ...] = tuple(kind for module in _MODULES for kind in module.KINDS)
"""Every kind of drawing, domain by domain; clips last."""

AGENTS: dict[str, tuple[str, str, str]] = {module.DOMAIN: module.AGENTS for module in _MODULES}
"""Domain -> its two perception agents and its reasoning agent."""


def kinds_of(domain: str) -> tuple[Kind, ...]:
    """The kinds of drawings of a domain."""
    return tuple(kind for kind in KINDS if kind.domain == domain)


STATEMENTS: dict[str, tuple[Statement, ...]] = {
    domain: tuple({item.name: item for kind in kinds_of(domain) for item in kind.statements}.values())
    for domain in AGENTS
}
"""Domain -> all that can be said of its drawings."""

__all__ = ["AGENTS", "KINDS", "STATEMENTS", "kinds_of"]
