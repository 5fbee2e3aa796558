"""Several engines as one: a request goes to that of the model which it names."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace

from MetaCaptioner.engine.base import Completion, Engine, Request
from MetaCaptioner.media.loader import Media


@dataclass
class Part:
    """One of the engines. `told` is what records name as its model, empty for the default; of several names for it, the
    first is `name`. `looks` says whether anybody shows it media."""

    name: str
    engine: Engine
    told: str
    looks: bool
    in_flight: int = 0
    progress_seen: int = 0
    has_moved: bool = False


class EngineByModel:
    """The engines of some models, by all the names that requests have for them."""

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._progress = 0

    def add(self, name: str, part: Part) -> None:
        """Have requests that name this model go to an engine."""
        self._parts[name] = part

    @property
    def names(self) -> frozenset[str]:
        """The names that requests may have."""
        return frozenset(self._parts)

    def names_of(self, part: Part) -> frozenset[str]:
        """Those of one of the engines."""
        return frozenset(name for name, one in self._parts.items() if one is part)

    @property
    def parts(self) -> list[Part]:
        """Each engine once."""
        return list({id(part): part for part in self._parts.values()}.values())

    @property
    def cache_tokens(self) -> int | None:
        """The least of any of them."""
        told = [part.engine.cache_tokens for part in self.parts if part.engine.cache_tokens is not None]
        return min(told, default=None)

    @property
    def arguments(self) -> Mapping[str, object]:
        """What each was made with, by name."""
        return {part.name or "default": part.engine.arguments for part in self.parts}

    @property
    def chosen_for_speed(self) -> tuple[str, ...]:
        """What was chosen for the one in this process."""
        return tuple(flag for part in self.parts for flag in part.engine.chosen_for_speed)

    @property
    def pixel_multiple(self) -> int | None:
        """That of those that look: where they differ, of the one with the largest, and the others resize again."""
        told = [part.engine.pixel_multiple for part in self.parts if part.looks]
        return max((one for one in told if one is not None), default=None)

    async def generate(self, request: Request) -> Completion:
        part = self._parts[request.model]
        part.in_flight += 1
        try:
            completion = await part.engine.generate(request)
        finally:
            part.in_flight -= 1
        return replace(completion, model=part.told) if request.model else completion

    def media_tokens(self, media: Media) -> int | None:
        told = [part.engine.media_tokens(media) for part in self.parts if part.looks]
        return max((one for one in told if one is not None), default=None)

    def progress(self) -> int:
        # One that is hung must not be hidden by the others: this grows once all that have requests have moved.
        busy = [part for part in self.parts if part.in_flight]
        for part in self.parts:
            progress = part.engine.progress()
            part.has_moved = part.has_moved or progress != part.progress_seen
            part.progress_seen = progress
        if all(part.has_moved for part in busy):
            self._progress += 1
            for part in self.parts:
                part.has_moved = False
        return self._progress

    def stop_waiting(self) -> None:
        for part in self.parts:
            part.engine.stop_waiting()

    def close(self) -> None:
        """End all of them, whatever becomes of one."""
        with ExitStack() as ends:
            for part in self.parts:
                ends.callback(part.engine.close)
