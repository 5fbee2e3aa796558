"""Random choices, made by nothing but the generator, so that a stream fixes its drawing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(rng: np.random.Generator, choices: Sequence[T], *without: T) -> T:
    """One of the choices, none of those after them."""
    left = [choice for choice in choices if choice not in without] if without else choices
    return left[int(rng.integers(len(left)))]


def pick_two(rng: np.random.Generator, choices: Sequence[T]) -> tuple[T, T]:
    """Two different ones of the choices."""
    first = pick(rng, choices)
    return first, pick(rng, choices, first)


def sample(rng: np.random.Generator, choices: Sequence[T], count: int) -> list[T]:
    """`count` different ones of the choices, in random order."""
    return [choices[int(place)] for place in rng.permutation(len(choices))[:count]]


def apart(rng: np.random.Generator, numbers: Sequence[int], count: int, gap: int) -> list[int]:
    """Different numbers, any two of them at least `gap` apart, so that the largest and smallest are plain."""
    while True:
        chosen = sample(rng, numbers, count)
        if all(high - low >= gap for low, high in pairwise(sorted(chosen))):
            return chosen
