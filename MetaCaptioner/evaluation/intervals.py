"""How sure a mean is: bootstrap intervals."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
LEVEL = 0.95

Marks = NDArray[np.float32]


def resampled_means(marks: Marks, name: str) -> NDArray[np.float64]:
    """The means of `RESAMPLES` samples of the same size, drawn with replacement; the same each time by its name.

    Source: Efron, Bootstrap Methods (Annals of Statistics, 1979).
    """
    draw = np.random.default_rng(zlib.crc32(name.encode("utf-8", "surrogatepass")))
    size = len(marks)
    return np.array([marks[draw.integers(0, size, size)].mean(dtype=np.float64) for _ in range(RESAMPLES)])


def interval(means: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 percent of resampled means: the percentile interval."""
    beyond = (1 - LEVEL) / 2
    low, high = np.quantile(means, [beyond, 1 - beyond])
    return float(low), float(high)


def mean_of(columns: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The resampled means of the mean over several sets of marks, each of which weighs the same."""
    means: NDArray[np.float64] = np.mean(np.stack(columns), axis=0, dtype=np.float64)
    return means
