"""The benchmark of decoding, over a small clip."""

import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import pytest

from benchmarks.decoding import main, make_clip, measure
from MetaCaptioner.errors import UserError
from tests.shown_clips import needs_ffmpeg


@needs_ffmpeg
def test_a_clip_is_timed_here_and_by_decord(tmp_path: Path) -> None:
    """In a process of its own: decord brings a zlib that other libraries would then use, and fail with."""
    if find_spec("decord") is None:
        pytest.skip("there is no decord for this machine")
    path = make_clip(tmp_path, seconds=2, gop=30, size="320x180")
    assert make_clip(tmp_path, seconds=2, gop=30, size="320x180") == path
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        measured = alone.submit(measure, path, frames=8, times=1).result()
    assert measured.frames == 4
    assert min(measured.ours, measured.decord, measured.decord_twice) > 0
    assert measured.share == pytest.approx(measured.decord / measured.ours)


def test_that_decord_is_missing_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(UserError, match="pip install decord"):
        main(["--work", str(tmp_path)])
