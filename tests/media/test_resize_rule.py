"""The sizes that pictures are given; those for models are held against Qwen's in `test_media`."""

import msgspec
import pytest

from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.resize_rule import Fit, Multiples, Within


@pytest.mark.parametrize(
    ("size", "expected"),
    [((960, 480), (480, 240)), ((100, 50), (100, 50)), ((1, 5000), (1, 480)), ((480, 480), (480, 480))],
)
def test_within_a_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert Within(480).size(*size) == expected


def test_no_model_takes_a_strip() -> None:
    with pytest.raises(SampleError, match="over 200 times"):
        Multiples(100 * 28 * 28, 4 * 28 * 28, 28).size(1, 201)


@pytest.mark.parametrize("fit", [Within(480), Multiples(100, 10, 28)])
def test_it_is_the_same_after_it_was_sent(fit: Fit) -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fit), type=Fit) == fit  # type: ignore[arg-type]
