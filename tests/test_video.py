from pathlib import Path

from MetaCaptioner import video
from MetaCaptioner.source import MediaSource
from tests.helpers import make_clip


def every_frame(facts: video.VideoFacts) -> video.Wanted:
    return video.Wanted(tuple(range(facts.frames)), 56, 28)


def test_a_thread_whose_helper_was_ended_gets_a_new_one(tmp_path: Path) -> None:
    source = MediaSource(make_clip(tmp_path / "a.mp4", 12))
    for _ in range(3):
        clip = video.sample(source, every_frame)
        assert clip.frames.shape == (12, 28, 56, 3)
        assert len(clip.times) == clip.facts.frames == 12
        video.end_helpers()
