import pytest

from MetaCaptioner.data.inputs.base import modality_of


@pytest.mark.parametrize("name", ["a.mp4", "A.MKV", "b/c.ts", "00001.mts", "0.m2ts", "x.ogv", "x.avi", "x.webm"])
def test_containers_of_clips_are_known_by_their_names(name: str) -> None:
    assert modality_of(name) == "video"
