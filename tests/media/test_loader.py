import itertools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from MetaCaptioner.data import media_source
from MetaCaptioner.data.sample import Sample
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.loader import Media, MediaBudget, choose_frames, fit, load_media
from tests.helpers import make_clip

BUDGET = MediaBudget()
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def load(path: Path, modality: Modality = "image", budget: MediaBudget = BUDGET) -> Media:
    return load_media(Sample("set", 0, path.parent, path.name, modality), budget)


def refused(path: Path, modality: Modality = "image", budget: MediaBudget = BUDGET) -> SampleError:
    """The error of a file that cannot be loaded; it must name the file and be one line."""
    with pytest.raises(SampleError) as raised:
        load(path, modality, budget)
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 1000
    return raised.value


def pixels(media: Media) -> NDArray[np.uint8]:
    assert isinstance(media.data, Image.Image)
    assert media.data.mode == "RGB"
    assert media.data.size == (media.width, media.height)
    return np.asarray(media.data)


def frames(media: Media) -> NDArray[np.uint8]:
    assert isinstance(media.data, np.ndarray)
    assert media.data.dtype == np.uint8
    assert media.data.shape[1:] == (media.height, media.width, 3)
    return media.data


def saved(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def near(colour: NDArray[np.uint8], wanted: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(colour.astype(int) - wanted).max() <= tolerance)


# --- pictures that are taken


@pytest.mark.parametrize("picture", ["astronaut", "camera", "coffee", "chelsea", "rocket", "retina", "page", "text"])
def test_photographs_come_within_the_budget(tmp_path: Path, picture: str) -> None:
    source = Image.fromarray(getattr(data, picture)())
    budget = MediaBudget(max_pixels=100 * 28 * 28)
    media = load(saved(tmp_path / "a.png", source), budget=budget)
    assert media.width % 28 == media.height % 28 == 0
    assert media.width * media.height <= budget.max_pixels
    assert media.width / media.height == pytest.approx(source.width / source.height, rel=0.15)
    assert pixels(media).std() > 10


@pytest.mark.parametrize("unit", [28, 32])
@pytest.mark.parametrize("units", [4, 5, 100, 1280, 16384])
def test_sizes_are_those_of_qwens_own_library(unit: int, units: int) -> None:
    from qwen_vl_utils.vision_process import smart_resize

    budget = MediaBudget(min_pixels=4 * unit**2, pixel_multiple=unit)
    sides = np.exp(np.random.default_rng(units).uniform(0.0, 9.0, 2000)).astype(int).tolist()
    shapes = [
        *itertools.pairwise(sides),
        *((side, side) for side in sides),
        *((2 * side, side) for side in sides),
    ]
    for width, height in shapes:
        if max(width, height) <= min(200, units) * min(width, height):
            expected = smart_resize(height, width, unit, min_pixels=4 * unit**2, max_pixels=units * unit**2)
            assert fit(width, height, units * unit**2, budget) == expected[::-1]


@pytest.mark.parametrize(("width", "height"), [(5600, 28), (28, 5600), (200, 1), (30_000, 200)])
def test_a_strip_keeps_a_height_and_comes_within_a_small_budget(width: int, height: int) -> None:
    columns, rows = fit(width, height, 100 * 28 * 28, BUDGET)
    assert min(columns, rows) == 28
    assert max(columns, rows) <= 100 * 28


def test_the_id_follows_content_and_size_and_not_the_name(tmp_path: Path, photograph: Image.Image) -> None:
    first = load(saved(tmp_path / "a.png", photograph))
    same = load(saved(tmp_path / "b.png", photograph))
    other = load(saved(tmp_path / "c.png", photograph.rotate(90)))
    smaller = load(tmp_path / "a.png", budget=MediaBudget(max_pixels=28 * 28 * 20))
    assert first.media_id == same.media_id
    assert len({first.media_id, other.media_id, smaller.media_id}) == 3
    assert first.content_hash == smaller.content_hash != other.content_hash


def test_the_smallest_picture_is_enlarged(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.png", Image.new("RGB", (1, 1), GREEN)))
    assert media.width * media.height >= BUDGET.min_pixels
    assert near(pixels(media)[5, 5], GREEN)


def test_a_long_picture_is_taken_up_to_the_models_limit(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.png", Image.new("RGB", (4000, 50), RED)))
    assert media.width > 20 * media.height
    assert media.width * media.height <= BUDGET.max_pixels


# --- pictures that are refused


@pytest.mark.parametrize("size", [(30000, 10), (10, 30000)])
def test_an_extremely_long_picture_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    error = refused(saved(tmp_path / "a.png", Image.new("RGB", size)))
    assert error.kind == "media_bad_shape"
    assert f"{size[0]}x{size[1]} pixels: one side is over 200 times the other" in error.message


def test_the_limit_on_source_pixels_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (200, 200)))
    assert refused(path, budget=MediaBudget(max_source_pixels=39_999)).kind == "media_too_large"
    assert load(path, budget=MediaBudget(max_source_pixels=40_000)).width == 196


@pytest.mark.parametrize("modality", ["image", "video"])
def test_missing_empty_and_unreadable_files_are_told_apart(tmp_path: Path, modality: Modality) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    found = {name: refused(tmp_path / name, modality) for name in ("none", "folder", "empty", "n" * 300)}
    kinds = {name: error.kind for name, error in found.items()}
    assert kinds == dict.fromkeys(found, "media_missing") | {"empty": "media_corrupt"}
    assert found["none"].message == f"{tmp_path / 'none'}: there is no such file"
    assert found["folder"].message == f"{tmp_path / 'folder'}: is a folder"
    assert found["empty"].message == f"{tmp_path / 'empty'}: the file is empty"


def test_a_file_that_cannot_be_read_is_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (56, 56)))

    def fail(path: Path, *_: object, **__: object) -> BinaryIO:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(media_source, "open_file", fail)
    error = refused(path)
    assert (error.kind, error.message) == ("media_unreadable", f"{path}: cannot be read: Permission denied")


# --- clips


def test_a_clip_gives_frames_and_their_times(tmp_path: Path) -> None:
    media = load(make_clip(tmp_path / "a.mp4", 50), "video")
    assert (media.modality, media.source_frames, media.source_fps) == ("video", 50, 10.0)
    assert media.duration == pytest.approx(5.0)
    found = frames(media)
    assert len(found) == len(media.frame_indices) == len(media.frame_times) == 10  # two a second
    assert (media.frame_indices[0], media.frame_indices[-1]) == (0, 49)
    assert list(media.frame_indices) == sorted(set(media.frame_indices))
    assert media.frame_times == pytest.approx([index / 10 for index in media.frame_indices], abs=1e-4)
    assert near(found[0, 20, 20], RED, 25)
    assert near(found[-1, 20, 20], BLUE, 25)
    greens = found[1:-1, 20, 20, 1].astype(int)
    assert (np.diff(greens) > 0).all()


def test_the_texts_for_prompts_tell_of_the_frames(tmp_path: Path) -> None:
    texts = load(make_clip(tmp_path / "a.mp4", 20), "video").describe()
    assert texts["duration"] == "2.0 s"
    assert texts["frame_count"] == str(len(texts["frame_times"].split(", "))) == "4"
    assert texts["frame_times"].startswith("0.0, ")
    assert texts["frame_times"].endswith(", 1.9")


def test_a_clip_stays_within_its_budget_and_keeps_its_shape(tmp_path: Path) -> None:
    budget = MediaBudget(video_pixels=30 * 28 * 28, video_frames=6)
    media = load(make_clip(tmp_path / "a.mp4", 60, (640, 320)), "video", budget)
    assert len(frames(media)) == 6
    assert media.width * media.height <= budget.video_pixels
    assert media.width == pytest.approx(2 * media.height, rel=0.2)


def test_the_id_of_a_clip_follows_content_and_budget(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 30)
    media = load(path, "video")
    assert load(path, "video").media_id == media.media_id
    assert load(path, "video", replace(BUDGET, video_frames=4)).media_id != media.media_id
    assert load(make_clip(tmp_path / "b.mp4", 29), "video").media_id != media.media_id


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_short_clips_give_an_even_number_of_frames(tmp_path: Path, count: int) -> None:
    media = load(make_clip(tmp_path / "a.mp4", count), "video")
    found = frames(media)
    assert len(found) == {1: 2, 2: 2, 3: 2}.get(count, 4)
    assert media.source_frames == count
    assert near(found[0, 20, 20], RED, 25)


@pytest.mark.parametrize("source_fps", [0.5, 10.0, 29.97, 120.0])
@pytest.mark.parametrize("video_frames", [2, 3, 8, 33])
@pytest.mark.parametrize("video_fps", [0.1, 2.0, 1000.0])
def test_frames_are_even_in_number_and_span_the_clip(source_fps: float, video_frames: int, video_fps: float) -> None:
    budget = MediaBudget(video_frames=video_frames, video_fps=video_fps)
    for source_frames in (1, 2, 3, 4, 5, 31, 62, 100, 5000):
        chosen = choose_frames(np.arange(source_frames) / source_fps, source_frames / source_fps, budget)
        assert len(chosen) % 2 == 0
        assert 2 <= len(chosen) <= max(2, video_frames)
        assert (chosen[0], chosen[-1]) == (0, source_frames - 1)
        assert chosen == sorted(chosen)


@pytest.mark.parametrize("source_fps", [0.5, 10.0, 29.97, 120.0])
@pytest.mark.parametrize("video_frames", [2, 3, 8, 33])
@pytest.mark.parametrize("video_fps", [0.1, 2.0, 30.0])
def test_there_are_as_many_frames_as_qwens_own_library_takes(
    source_fps: float, video_frames: int, video_fps: float
) -> None:
    from qwen_vl_utils.vision_process import smart_nframes

    budget = MediaBudget(video_frames=video_frames, video_fps=video_fps)
    for source_frames in (2, 3, 4, 5, 31, 62, 100, 5000):
        most = min(video_frames, source_frames)
        wanted = {"fps": min(video_fps, source_fps), "min_frames": min(4, most), "max_frames": most}
        expected = smart_nframes(wanted, total_frames=source_frames, video_fps=source_fps)
        assert len(choose_frames(np.arange(source_frames) / source_fps, source_frames / source_fps, budget)) == expected


def test_the_rate_decides_how_many_frames_are_taken() -> None:
    counts = [
        len(choose_frames(np.arange(300) / 30, 10.0, MediaBudget(video_fps=rate))) for rate in (0.1, 1.0, 2.0, 8.0)
    ]
    assert counts == [4, 10, 20, 32]


def test_frames_are_spread_over_the_time_and_not_over_their_number() -> None:
    """Twenty seconds of two frames a second, then two of sixty."""
    times = np.concatenate([np.arange(0, 20, 0.5), np.arange(20, 22, 1 / 60)])
    chosen = choose_frames(times, 22.0, BUDGET)
    assert len(chosen) == 32
    assert chosen == sorted(set(chosen))
    assert (times[chosen] > 20).sum() in (2, 3)
    assert np.diff(times[chosen]).max() <= 1.0


def test_a_long_still_is_taken_once() -> None:
    times = np.array([0.0, 20.0, *np.arange(20.1, 22, 0.1)])
    chosen = choose_frames(times, 22.1, BUDGET)
    assert chosen[:2] == [0, 1]
    assert chosen[-1] == len(times) - 1
    assert chosen == sorted(set(chosen))
    assert len(chosen) in (4, 6)


def test_any_times_give_an_even_number_of_different_frames() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        times = np.cumsum(rng.exponential(rng.uniform(0.01, 3), int(rng.integers(2, 80))) ** 3 + 1e-3)
        times -= times[0]
        budget = MediaBudget(video_frames=int(rng.integers(2, 40)), video_fps=float(rng.uniform(0.1, 30)))
        chosen = choose_frames(times, float(times[-1]) + 0.1, budget)
        assert len(chosen) % 2 == 0
        assert 2 <= len(chosen) <= max(2, budget.video_frames)
        assert (chosen[0], chosen[-1]) == (0, len(times) - 1)
        assert chosen == sorted(set(chosen))


@pytest.mark.parametrize("hold", [1, 4])
def test_models_that_count_frames_are_told_the_true_times(tmp_path: Path, hold: int) -> None:
    """Also where some frames stand longer than others."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(30):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 8 * number, np.uint8), format="rgb24")
            frame.pts = number if number < 15 else 15 + hold * (number - 15)
            frame.time_base = Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    media = load(path, "video")
    assert [index / media.source_fps for index in media.frame_indices] == pytest.approx(media.frame_times, abs=0.051)
    assert media.source_frames / media.source_fps == pytest.approx(media.duration, abs=0.001)
    assert media.source_fps == pytest.approx(10.0 if hold == 1 else 1000.0)
    assert media.duration == pytest.approx(3.0 if hold == 1 else 7.5, abs=0.35)


def test_a_clip_that_is_too_large_or_too_long_a_strip_is_told_as_such(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 3)
    error = refused(path, "video", replace(BUDGET, max_source_pixels=1000))
    assert (error.kind, "96x64" in error.message) == ("media_too_large", True)
    assert refused(make_clip(tmp_path / "b.mp4", 3, (6600, 32)), "video").kind == "media_bad_shape"


def sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        for number in range(20):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            sound.sample_rate, sound.pts = 44100, number * 1024
            container.mux(stream.encode(sound))
        container.mux(stream.encode())
    return path


def cut_off(path: Path) -> Path:
    content = make_clip(path, 50).read_bytes()
    path.write_bytes(content[: int(0.7 * len(content))])
    return path


def random_bytes(path: Path) -> Path:
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path


def web_page(path: Path) -> Path:
    path.write_text("<!doctype html><html>404</html>")
    return path


def no_index(path: Path) -> Path:
    """The table of contents, which a camera writes last, is missing."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"moov")])
    return path


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (sound_only, "has no video stream (audio only?)"),
        (cut_off, "its header promises 5.0 s but its data end at "),
        (no_index, "no video can be read from it: "),
        (random_bytes, "no video can be read from it: "),
        (web_page, "no video can be read from it: "),
        (lambda path: make_clip(path, 0), ""),
    ],
    ids=["sound only", "cut off", "no index", "random", "web page", "no frames"],
)
def test_a_clip_that_cannot_be_read_is_corrupt(tmp_path: Path, make: Callable[[Path], Path], complaint: str) -> None:
    path = make(tmp_path / "a.mp4")
    error = refused(path, "video")
    assert error.kind == "media_corrupt"
    assert error.message.startswith(f"{path}: {complaint}")


def test_a_picture_is_no_clip(tmp_path: Path) -> None:
    assert refused(saved(tmp_path / "a.jpg", Image.new("RGB", (56, 56))), "video").kind == "media_corrupt"


def test_a_clip_with_one_damaged_byte_costs_one_error_and_not_the_process(tmp_path: Path) -> None:
    """The number of entries of the time table is made huge, which a decoder may answer with an abort."""
    content = bytearray(make_clip(tmp_path / "a.mp4", 50).read_bytes())
    content[content.index(b"stts") + 12] = 110
    (tmp_path / "a.mp4").write_bytes(content)
    script = (
        "import sys; from pathlib import Path; from MetaCaptioner.media.loader import MediaBudget, load_media\n"
        "from MetaCaptioner.errors import SampleError; from MetaCaptioner.data.sample import Sample\n"
        "try: load_media(Sample('set', 0, Path(sys.argv[1]), 'a.mp4', 'video'), MediaBudget())\n"
        "except SampleError as error: assert error.kind == 'media_corrupt'\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[2], timeout=60)
    assert ended.returncode == 0
