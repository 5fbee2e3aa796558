"""The benchmark's samples and answer lengths."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.workload import FRAMES, Workload
from MetaCaptioner.data.media_source import MediaSource
from MetaCaptioner.media.clip import VideoFacts, Wanted
from MetaCaptioner.media.decoding import pool
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.plan_file import read_plan


def test_answers_have_the_lengths_asked_for() -> None:
    workload = Workload(agent_tokens=256, summary_tokens=512, sigma=0.4)
    agents = np.array([workload.answer_tokens(f"images/{number}", "objects") for number in range(2000)])
    summaries = np.array([workload.answer_tokens(f"images/{number}", "summary") for number in range(2000)])
    assert agents.mean() == pytest.approx(256, rel=0.03)
    assert summaries.mean() == pytest.approx(512, rel=0.03)
    assert np.log(agents).std() == pytest.approx(0.4, abs=0.03)
    assert agents.min() >= 64
    assert agents.max() <= 1024


def test_a_length_depends_on_sample_agent_and_seed_alone() -> None:
    lengths = [Workload(seed=seed).answer_tokens(*who) for seed in (0, 0, 1) for who in (("a/1", "x"), ("a/2", "x"))]
    assert lengths[:2] == lengths[2:4]
    assert len(set(lengths)) == 4


def test_pictures_and_plan_are_written_once(tmp_path: Path) -> None:
    workload = Workload(items=3, side=56)
    plan = workload.write(tmp_path)
    paths = sorted((tmp_path / "image-56").iterdir())
    assert len({path.read_bytes() for path in paths}) == 3
    assert Image.open(paths[0]).size == (56, 56)
    times = [path.stat().st_mtime_ns for path in paths]
    assert workload.write(tmp_path) == plan
    assert [path.stat().st_mtime_ns for path in paths] == times
    [row], problems = read_plan(plan)
    assert (row.total, row.task, row.assign_rank, problems) == (3, "Natural", 0, [])


def first_frame(facts: VideoFacts) -> Wanted:
    return Wanted((0,), facts.width, facts.height)


def test_clips_have_their_frames(tmp_path: Path) -> None:
    Workload("video", items=1, side=112).write(tmp_path)
    clip, _ = pool.clip(MediaSource(tmp_path / "video-112" / "0.mp4"), MediaBudget().limits, first_frame)
    assert (clip.facts.frames, clip.facts.width, clip.facts.height) == (FRAMES, 112, 112)
    pool.end_helpers()
