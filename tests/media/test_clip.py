"""Times of frames, as well as the stamps in a file tell them."""

import numpy as np
import pytest

from MetaCaptioner.media.clip import rising_times

CASES = {
    "as they should be": ([0, 10, 20, 30], [0, 10, 20, 30]),
    "from elsewhere": ([500, 510, 530], [0, 10, 30]),
    "below 0": ([-20, -10, 0], [0, 10, 20]),
    "none at all": ([None, None, None], [0, 10, 20]),
    "none at the ends": ([None, 10, 20, None], [0, 10, 20, 30]),
    "none between": ([0, None, None, 30], [0, 10, 20, 30]),
    "in the order of decoding": ([30, 40, 60, 50, 70], [0, 10, 20, 30, 40]),
    "one twice": ([0, 10, 10, 20, 30], [0, 10, 15, 20, 30]),
    "all the same": ([7, 7, 7], [0, 10, 20]),
    "short parts that begin anew": ([500, 510, 520, 500, 510, 520, 530], [0, 10, 20, 30, 40, 50, 60]),
    "parts that begin anew": ([9000, 9010, 0, 10, 20], [0, 10, 20, 30, 40]),
    "a leap": ([0, 10, 2**60, 2**60 + 128], [0, 10, 20, 148]),
    "a leap backward": ([0, 10, -(2**60), 30], [0, 10, 20, 30]),
}


@pytest.mark.parametrize("name", CASES)
def test_times_rise_whatever_the_stamps_are(name: str) -> None:
    stamps, expected = CASES[name]
    times = rising_times(stamps, step=10, longest_gap=1000)
    assert list(times) == expected
    assert (np.diff(times) > 0).all()


def test_any_stamps_give_sound_times() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        count = int(rng.integers(1, 30))
        scale = 10 ** int(rng.integers(0, 18))
        stamps = [None if rng.random() < 0.2 else int(rng.integers(-scale, scale)) for _ in range(count)]
        times = rising_times(stamps, step=10, longest_gap=1000)
        assert len(times) == count
        assert (np.diff(times) > 0).all()
        assert times[-1] - times[0] <= 1000 * count
