"""YAML as people write it, read from a file that anybody may have written."""

from collections.abc import Hashable
from typing import NoReturn

import yaml

LONGEST_CHARACTERS = 10**6
"""Of a text, with each alias counted as all that it repeats."""
_DEEPEST = 40


class _Loader(yaml.CSafeLoader):  # ten times faster than that of safe_load
    """A key that is there twice is an error: YAML's own loaders pass over the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _date(loader: _Loader, node: yaml.ScalarNode) -> object:
    return loader.construct_yaml_timestamp(node)


# A library that vLLM loads has YAML's own loaders take dates for texts, in all of the process.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date)


def from_yaml(text: str) -> object:
    """The value of a YAML text, of plain types only.

    Raises:
        ValueError: it is no YAML, has a key twice, is nested too deep, or too long; the message is one line.
    """
    try:
        _check_extent(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _check_extent(text: str) -> None:
    """Refuse what is nested too deep, or too long once its aliases stand for all that they repeat.

    The events are looked at as they come: the loader itself ends the process on the one, and never ends on the other.
    """
    extents: dict[str | None, int] = {None: 0}  # by anchor
    opened: list[str | None] = [None]
    counts = [0]  # of each collection that is open, the characters so far
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(event.anchor)
            counts.append(1)
        elif isinstance(event, yaml.CollectionEndEvent):
            extents[opened.pop()] = extent = counts.pop()
            counts[-1] += extent
        elif isinstance(event, yaml.ScalarEvent):
            extents[event.anchor] = extent = 1 + len(event.value)
            counts[-1] += extent
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor in opened:
                _refuse(f"'*{event.anchor}' is within what it repeats", event)
            counts[-1] += extents.get(event.anchor, 0)
        if len(opened) > _DEEPEST:
            _refuse("it is nested too deep", event)
        if counts[-1] > LONGEST_CHARACTERS:
            _refuse(f"it is over {LONGEST_CHARACTERS:,} characters long", event)


def _refuse(problem: str, event: yaml.Event) -> NoReturn:
    where = f"line {event.start_mark.line + 1}: " if event.start_mark else ""
    raise ValueError(f"{where}{problem}")
