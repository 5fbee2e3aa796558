import io
import itertools
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from MetaCaptioner import video
from MetaCaptioner.domains import Modality
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media import Media, MediaBudget, choose_frames, fit, load_media
from MetaCaptioner.metafile import Sample
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


@pytest.fixture
def photograph() -> Image.Image:
    return Image.fromarray(data.astronaut())


# --- pictures that are taken


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "tiff", "ppm", "jp2"])
def test_every_common_format_shows_the_same_picture(tmp_path: Path, photograph: Image.Image, suffix: str) -> None:
    media = load(saved(tmp_path / f"a.{suffix}", photograph))
    assert (media.modality, media.width, media.height) == ("image", 504, 504)
    expected = np.asarray(photograph.resize((504, 504)), dtype=int)
    assert np.abs(pixels(media) - expected).mean() < 6


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


def test_cmyk(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.jpg", Image.new("RGB", (84, 84), RED).convert("CMYK"), quality=95))
    assert near(pixels(media)[40, 40], RED)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 280).astype(np.uint16)[None].repeat(56, axis=0)
    grey = pixels(load(saved(tmp_path / f"a.{suffix}", Image.fromarray(ramp))))[28, :, 0].astype(int)
    assert len(grey) == 280
    assert np.abs(grey - np.linspace(0, 255, 280)).max() <= 2


def test_float_pictures_are_spread_over_the_grey_values(tmp_path: Path) -> None:
    ramp = np.linspace(-3.0, 5.0, 280, dtype=np.float32)[None].repeat(56, axis=0)
    grey = pixels(load(saved(tmp_path / "a.tiff", Image.fromarray(ramp))))[28, :, 0].astype(int)
    assert np.abs(grey - np.linspace(0, 255, 280)).max() <= 2


def test_black_and_white_of_one_bit(tmp_path: Path) -> None:
    image = Image.new("1", (112, 56))
    image.paste(1, (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image)))
    assert near(found[28, 20], (0, 0, 0))
    assert near(found[28, 90], WHITE)


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (112, 56), (*RED, 255))
    image.paste((0, 0, 0, 0), (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image)))
    assert near(found[28, 20], RED)
    assert near(found[28, 90], WHITE)


def test_half_transparent_pixels_are_mixed_with_white(tmp_path: Path) -> None:
    media = load(saved(tmp_path / "a.png", Image.new("LA", (56, 56), (0, 128))))
    assert near(pixels(media)[28, 28], (127, 127, 127))


def test_a_palette_with_transparency_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (112, 56), 0)
    image.putpalette([*RED, *BLUE])
    image.paste(1, (56, 0, 112, 56))
    found = pixels(load(saved(tmp_path / "a.png", image, transparency=1)))
    assert near(found[28, 20], RED)
    assert near(found[28, 90], WHITE)


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, "top left"), (2, "top right"), (3, "bottom right"), (6, "top right"), (8, "bottom left")],
)
def test_pictures_are_turned_upright(tmp_path: Path, orientation: int, corner: str) -> None:
    image = Image.new("RGB", (168, 84), BLUE)
    image.paste(RED, (0, 0, 28, 28))
    exif = Image.Exif()
    exif[0x0112] = orientation
    media = load(saved(tmp_path / "a.jpg", image, exif=exif, quality=95, subsampling=0))
    assert (media.width, media.height) == ((84, 168) if orientation in (6, 8) else (168, 84))
    found = pixels(media)
    corners = {
        "top left": found[10, 10],
        "top right": found[10, -10],
        "bottom left": found[-10, 10],
        "bottom right": found[-10, -10],
    }
    assert {name for name, colour in corners.items() if near(colour, RED, 40)} == {corner}


def test_a_large_jpeg_that_is_turned_is_not_distorted(tmp_path: Path, photograph: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    media = load(saved(tmp_path / "a.jpg", photograph.resize((3000, 1500)), exif=exif))
    assert media.height == pytest.approx(2 * media.width, rel=0.03)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path, photograph: Image.Image) -> None:
    path = saved(tmp_path / "a.jpg", photograph, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1\2\3")
    assert load(path).width == 504


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    first, *others = (Image.new("RGB", (56, 56), colour) for colour in (RED, GREEN, BLUE))
    for suffix in ("gif", "webp", "png"):
        path = saved(tmp_path / f"a.{suffix}", first, save_all=True, append_images=others, duration=100)
        assert near(pixels(load(path))[28, 28], RED)


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


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header claims the given size, with next to no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_a_decompression_bomb_is_left_undecoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    begin = time.monotonic()
    error = refused(path)
    assert time.monotonic() - begin < 1
    assert error.kind == "media_too_large"
    assert "60000x60000 is over 250,000,000 pixels" in error.message
    assert str(path) in error.message


def test_the_limit_on_source_pixels_can_be_set(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (200, 200)))
    assert refused(path, budget=MediaBudget(max_source_pixels=39_999)).kind == "media_too_large"
    assert load(path, budget=MediaBudget(max_source_pixels=40_000)).width == 196


def encoded(image: Image.Image, kind: str) -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_picture_that_breaks_off_is_corrupt(tmp_path: Path, photograph: Image.Image, kind: str, share: float) -> None:
    path = tmp_path / "a.img"
    content = encoded(photograph, kind)
    path.write_bytes(content[: int(len(content) * share)])
    error = refused(path)
    assert error.kind == "media_corrupt"
    assert str(path) in error.message


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF", "JPEG2000"])
def test_damaged_bytes_are_no_surprise(tmp_path: Path, photograph: Image.Image, kind: str) -> None:
    """Whatever a decoder makes of them, it ends in a picture or in an error of a known kind."""
    content = encoded(photograph.resize((64, 48)), kind)
    random = np.random.default_rng(7)
    kinds = set()
    for number in range(60):
        damaged = bytearray(content)
        for place in random.integers(0, len(content), 1 + number % 12):
            damaged[place] = random.integers(256)
        (tmp_path / "a.img").write_bytes(damaged)
        try:
            load(tmp_path / "a.img")
        except SampleError as error:
            kinds.add(error.kind)
    assert "media_corrupt" in kinds
    assert kinds <= {"media_corrupt", "media_too_large", "media_bad_shape"}


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (np.random.default_rng(0).bytes(5000), "is no image format that is read here (JPEG, PNG, "),
        (b'{"error": "not found"}', "is JSON text, not an image"),
        (b'  [{"error": 1}]', "is JSON text"),
        (b"<!DOCTYPE html><html><body>403 Forbidden</body></html>", "is a web page (HTML or XML), not an image"),
        (b"\n<html>", "was the download refused?"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "is a web page (HTML or XML)"),
        (EPS, "is no image format that is read here"),
        (b"%PDF-1.4\n", "is no image format that is read here"),
    ],
    ids=["random", "json", "json list", "html", "short html", "xml", "eps", "pdf"],
)
def test_a_file_that_is_no_picture_says_what_it_seems_to_be(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    error = refused(tmp_path / "a.jpg")
    assert error.kind == "media_corrupt"
    assert error.message.startswith(f"{tmp_path / 'a.jpg'}: is ")
    assert complaint in error.message


def test_postscript_never_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    (tmp_path / "a.eps").write_bytes(EPS)
    assert refused(tmp_path / "a.eps").kind == "media_corrupt"


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


def test_a_file_that_cannot_be_read_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.new("RGB", (56, 56)))

    def fail(self: Path, mode: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", fail)
    error = refused(path)
    assert (error.kind, error.message) == ("media_missing", f"{path}: cannot be read: Permission denied")


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_all_processes_of_a_rank_does_not_make_a_sound_clip_corrupt(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C and SLURM reach the decoder's processes too; what is in flight must still be finished."""
    path = make_clip(tmp_path / "a.mp4", 10)

    def signalled() -> None:
        for process in multiprocessing.active_children():
            assert process.pid is not None
            os.kill(process.pid, number)
        time.sleep(0.2)

    with ThreadPoolExecutor(1) as thread:
        assert len(frames(thread.submit(load, path, "video").result())) == 4
        busy = thread.submit(video._in_helper, time.sleep, 0.5)
        time.sleep(0.2)
        signalled()
        assert busy.exception(timeout=10) is None
        signalled()
        assert len(frames(thread.submit(load, path, "video").result())) == 4


def test_a_decoder_that_never_returns_costs_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "a.mp4", 10)
    load(path, "video")
    with monkeypatch.context() as patched:
        patched.setattr(video, "TIMEOUT_SECONDS", 0.2)
        patched.setattr(video, "sample", lambda *_: video._in_helper(time.sleep, 60))
        error = refused(path, "video")
    assert error.kind == "media_corrupt"
    assert "did not finish within" in error.message
    assert len(frames(load(path, "video"))) == 4


def test_a_decoder_that_crashes_costs_one_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "a.mp4", 10)
    with monkeypatch.context() as patched:
        patched.setattr(video, "sample", lambda *_: video._in_helper(os.abort))
        assert "the decoder crashed" in refused(path, "video").message
    assert len(frames(load(path, "video"))) == 4


def test_a_clip_with_one_damaged_byte_costs_one_error_and_not_the_process(tmp_path: Path) -> None:
    """The number of entries of the time table is made huge, which a decoder may answer with an abort."""
    content = bytearray(make_clip(tmp_path / "a.mp4", 50).read_bytes())
    content[content.index(b"stts") + 12] = 110
    (tmp_path / "a.mp4").write_bytes(content)
    script = (
        "import sys; from pathlib import Path; from MetaCaptioner.media import MediaBudget, load_media\n"
        "from MetaCaptioner.errors import SampleError; from MetaCaptioner.metafile import Sample\n"
        "try: load_media(Sample('set', 0, Path(sys.argv[1]), 'a.mp4', 'video'), MediaBudget())\n"
        "except SampleError as error: assert error.kind == 'media_corrupt'\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=Path(__file__).parents[1], timeout=60)
    assert ended.returncode == 0
