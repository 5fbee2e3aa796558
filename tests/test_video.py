from pathlib import Path

from MetaCaptioner import video
from MetaCaptioner.source import MediaSource
from tests.helpers import make_clip


def test_a_thread_whose_helper_was_ended_gets_a_new_one(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mp4", 12)
    assert video.probe(MediaSource(clip)).frames == 12
    video.end_helpers()
    assert video.probe(MediaSource(clip)).frames == 12
    video.end_helpers()
    frames, times = video.decode(MediaSource(clip), [0, 11], 56, 28)
    assert frames.shape == (2, 28, 56, 3)
    assert len(times) == 2
