"""Which function draws which item of which dataset."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

Picture = tuple[Image.Image, str]
Clip = tuple[Iterator[Image.Image], str]


@dataclass(frozen=True)
class Item:
    """One picture or clip: the name of its file and how to draw it; `fps` belongs to clips."""

    dataset: str
    file_name: str
    task: str | None = None
    draw_picture: Callable[[np.random.Generator], Picture] | None = None
    draw_clip: Callable[[np.random.Generator], Clip] | None = None
    fps: int = 0

    def generator(self, seed: int) -> np.random.Generator:
        """A random generator of its own, so that adding an item leaves the others as they are."""
        return np.random.default_rng([seed, zlib.crc32(f"{self.dataset}/{self.file_name}".encode())])


ITEMS: dict[str, list[Item]] = {}


def picture(
    dataset: str, file_name: str, task: str | None = None
) -> Callable[[Callable[[np.random.Generator], Picture]], Callable[[np.random.Generator], Picture]]:
    """Register a function that draws one picture and returns it with its caption."""

    def register(function: Callable[[np.random.Generator], Picture]) -> Callable[[np.random.Generator], Picture]:
        ITEMS.setdefault(dataset, []).append(Item(dataset, file_name, task, draw_picture=function))
        return function

    return register


def clip(
    dataset: str, file_name: str, fps: int
) -> Callable[[Callable[[np.random.Generator], Clip]], Callable[[np.random.Generator], Clip]]:
    """Register a function that draws the frames of one clip and returns them with its caption."""

    def register(function: Callable[[np.random.Generator], Clip]) -> Callable[[np.random.Generator], Clip]:
        ITEMS.setdefault(dataset, []).append(Item(dataset, file_name, draw_clip=function, fps=fps))
        return function

    return register
