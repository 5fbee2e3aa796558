"""Clips that are not whole, or not what their name says: an error that says so, or what is truly there."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from MetaCaptioner.media.clip import VideoError
from tests.odd_clips import FORMS, ffmpeg
from tests.shown_clips import RATE, SECONDS, SIZE, likeness, needs_ffmpeg, sampled, shown_by_ffmpeg

pytestmark = needs_ffmpeg
pillow_heif.register_heif_opener()


def refusal(path: Path) -> str:
    with pytest.raises(VideoError) as raised:
        sampled(path)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def part_of(path: Path, target: Path, begin: float, end: float) -> Path:
    """A part of a file's bytes."""
    content = path.read_bytes()
    target.write_bytes(content[int(begin * len(content)) : int(end * len(content))])
    return target


PROMISING = (
    *("h264 open gop mkv", "hevc open gop mkv", "xvid avi", "mpeg-4 avi", "h264 avi", "mjpeg avi", "h264 flv"),
    *("h264 fragmented", "vp9 webm", "h264 mkv through a pipe", "gif", "wmv", "h264 gop 12"),
    *("av1 ivf", "mpeg-2 mxf"),
)


@pytest.mark.parametrize("odd_clip", PROMISING, indirect=True)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_a_clip_that_was_cut_off_is_no_clip_of_its_first_part(odd_clip: Path, tmp_path: Path, share: float) -> None:
    assert refusal(part_of(odd_clip, tmp_path / odd_clip.name, 0, share))


def test_what_is_missing_is_told(plain_clip: Path, tmp_path: Path) -> None:
    ffmpeg("-i", plain_clip, "-c", "copy", "-movflags", "faststart", tmp_path / "a.mp4")
    assert "was it cut off?" in refusal(part_of(tmp_path / "a.mp4", tmp_path / "b.mp4", 0, 0.5))


@pytest.mark.parametrize("odd_clip", ["h264 ts", "h264 open gop ts", "mpeg-2 ts", "mpeg-2"], indirect=True)
@pytest.mark.parametrize(("begin", "end"), [(0, 0.6), (0.3, 1), (0.2, 0.7)])
def test_a_recording_may_begin_and_end_anywhere(odd_clip: Path, tmp_path: Path, begin: float, end: float) -> None:
    """Of it the frames are shown that can be: those from its first keyframe on, without one that was cut."""
    whole = shown_by_ffmpeg(odd_clip, *SIZE)
    found = sampled(part_of(odd_clip, tmp_path / odd_clip.name, begin, end))
    places = likeness(found.frames, whole.frames).argmax(axis=1)
    assert len(places) > 10
    assert (np.diff(places)[:-1] == 1).all()  # the last may have lost those that are shown just before it
    assert found.times == pytest.approx(whole.times[places] - whole.times[places[0]], abs=0.002)


@pytest.mark.parametrize("form", ["h264 ts", "mpeg-2"])
def test_recordings_one_after_the_other_are_one(form: str, plain_clip: Path, tmp_path: Path) -> None:
    """Their time stamps begin anew in the middle."""
    one = FORMS[form].make(plain_clip, tmp_path / f"one{FORMS[form].suffix}")
    both = tmp_path / f"both{FORMS[form].suffix}"
    both.write_bytes(2 * one.read_bytes())
    alone, joined = sampled(one), sampled(both)
    assert joined.facts.frames == 2 * alone.facts.frames
    assert joined.facts.duration == pytest.approx(2 * alone.facts.duration, abs=0.01)
    assert (np.diff(joined.facts.times) > 0).all()
    halves = np.split(joined.frames, 2)
    for half in halves:
        assert np.diag(likeness(half, alone.frames)).min() > 40


def test_short_recordings_one_after_the_other_are_one_and_none_is_squeezed(tmp_path: Path) -> None:
    """Their times begin anew, and their pictures have another shape: what is upright is seen whole, between black."""
    parts = [tmp_path / name for name in ("wide.ts", "large.ts", "upright.ts")]
    for path, size in zip(parts, ("160x120", "320x240", "120x160"), strict=True):
        ffmpeg("-f", "lavfi", "-i", f"color=white:s={size}:r=20:d=0.5", "-c:v", "libx264", path)
    (tmp_path / "all.ts").write_bytes(b"".join(path.read_bytes() for path in parts))
    found = sampled(tmp_path / "all.ts", size=(160, 120))
    assert found.times == pytest.approx(np.arange(30) / 20, abs=0.001)
    assert found.facts.duration == pytest.approx(1.5, abs=0.001)
    assert found.frames[:20].min() > 250
    shown = found.frames[20:]
    assert shown[:, :, 40:-40].min() > 240
    assert max(shown[:, :, :30].max(), shown[:, :, -30:].max()) == 0


def test_frames_whose_time_is_not_known_are_not_left_out(plain_clip: Path, tmp_path: Path) -> None:
    """Matroska has no times below 0: FFmpeg's writer leaves packets there without one."""
    plain = FORMS["h264 gop 12"].make(plain_clip, tmp_path / "a.mp4")
    ffmpeg("-itsoffset", "-1.5", "-i", plain, "-c", "copy", "-avoid_negative_ts", "disabled", tmp_path / "a.mkv")
    whole, some = sampled(tmp_path / "a.mkv"), sampled(tmp_path / "a.mkv", 0.3, 0.8)
    assert whole.facts.frames == some.facts.frames == SECONDS * RATE
    assert (some.frames == whole.frames[list(some.wanted.indices)]).all()


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4", ".flv"])
def test_titles_need_not_be_in_utf_8(plain_clip: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    named = ("-metadata", "title=Caf_ in Z_rich", "-metadata:s:v", "title=Caf_ in Z_rich")
    ffmpeg("-i", plain_clip, "-c:v", "libx264", "-frames:v", "8", *named, path)
    content = path.read_bytes()
    assert b"Caf_" in content
    path.write_bytes(content.replace(b"Caf_ in Z_rich", "Café in Zürich".encode("latin-1")))
    assert sampled(path).facts.frames == 8


SHORT = {
    ".wmv": "-c:v wmv2 -c:a wmav2",
    ".mpg": "-r 25 -c:v mpeg2video -c:a mp2",
    ".flv": "-c:v flv1 -c:a libmp3lame -ar 44100",
    ".ts": "-c:v libx264 -c:a aac",
}


@pytest.mark.parametrize("suffix", SHORT)
@pytest.mark.parametrize(("frames", "sound"), [(1, 0.1), (1, 2), (5, 0.1), (5, 2)])
def test_a_short_clip_with_sound_is_whole(
    plain_clip: Path, tmp_path: Path, suffix: str, frames: int, sound: float
) -> None:
    path = tmp_path / f"a{suffix}"
    streams = ("-i", plain_clip, "-f", "lavfi", "-i", f"sine=d={sound}", "-map", "0", "-map", "1")
    ffmpeg(*streams, "-frames:v", frames, *SHORT[suffix].split(), path)
    assert sampled(path).facts.frames == frames


@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_a_picture_of_the_kind_of_an_mp4_is_no_clip(plain_clip: Path, tmp_path: Path, suffix: str) -> None:
    ffmpeg("-i", plain_clip, "-frames:v", "1", tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / f"a{suffix}")
    assert "is a picture" in refusal(tmp_path / f"a{suffix}")


def test_of_an_animated_avif_the_frames_are_shown_and_not_its_cover(plain_clip: Path, tmp_path: Path) -> None:
    ffmpeg("-i", plain_clip, "-frames:v", "5", tmp_path / "%d.png")
    first, *others = (Image.open(tmp_path / f"{number}.png") for number in range(1, 6))
    path = tmp_path / "a.avif"
    first.save(path, save_all=True, append_images=others, duration=[100, 500, 100, 200, 100], quality=90)
    found = sampled(path)
    assert found.times == pytest.approx([0, 0.1, 0.6, 0.7, 0.9], abs=0.001)
    assert found.facts.duration == pytest.approx(1.0, abs=0.001)
    expected = shown_by_ffmpeg(plain_clip, *SIZE).frames[:5]
    assert (likeness(found.frames, expected).argmax(axis=1) == np.arange(5)).all()


@pytest.mark.parametrize(
    "odd_clip", ["h264 gop 12", "xvid avi", "mpeg-2", "h264 ts", "theora", "av1 mp4", "gif", "mjpeg avi"], indirect=True
)
@pytest.mark.parametrize("place", [0.25, 0.5, 0.8])
def test_damage_that_shows_is_not_captioned(odd_clip: Path, tmp_path: Path, place: float) -> None:
    """An error, or right frames at right times: none that the decoder made up."""
    content = bytearray(odd_clip.read_bytes())
    begin = int(place * len(content))
    content[begin : begin + 400] = np.random.default_rng(0).bytes(400)
    path = tmp_path / odd_clip.name
    path.write_bytes(content)
    whole = shown_by_ffmpeg(odd_clip, *SIZE)
    try:
        found = sampled(path)
    except VideoError:
        return
    places = np.searchsorted(whole.times - whole.times[0], np.array(found.times) - 0.5 / RATE)
    matches = likeness(found.frames, whole.frames)[np.arange(len(places)), places]
    assert matches.min() > 24


def matroska_duration(path: Path, change: Callable[[float], float], target: Path) -> Path:
    """The file with another duration in its header."""
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3
    [told] = struct.unpack_from(">d", content, place)
    struct.pack_into(">d", content, place, change(told))
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("odd_clip", ["h264 open gop mkv"], indirect=True)
def test_a_header_that_says_too_little_is_not_believed(odd_clip: Path, tmp_path: Path) -> None:
    short = sampled(matroska_duration(odd_clip, lambda told: told / 3, tmp_path / "short.mkv"))
    assert short.facts.duration == pytest.approx(sampled(odd_clip).facts.duration)
    assert "promises 12.0 s" in refusal(matroska_duration(odd_clip, lambda told: told * 4, tmp_path / "long.mkv"))


def test_playlists_open_no_other_file(plain_clip: Path, tmp_path: Path) -> None:
    ts = FORMS["h264 ts"].make(plain_clip, tmp_path / "a.ts")
    lists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:3,\n{ts}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{ts}'\n",
        "pictures": f"file '{ts}'\n",
    }
    for suffix in ("mp4", "avi", "mkv", "ts"):
        for name, text in lists.items():
            path = tmp_path / f"{name}.{suffix}"
            path.write_text(text)
            assert refusal(path).startswith("no video can be read from it: ")


def of_other_file(clip: Path, target: Path) -> Path:
    """A QuickTime file without its pictures, which says that they lie in `clip`, a file beside it.

    Source: QuickTime File Format, Data Reference Atoms; the alias as FFmpeg reads it in libavformat/mov.c.
    """
    content = bytearray(clip.read_bytes())
    place = content.index(b"mdat") + 4
    content[place : content.index(b"moov") - 4] = bytes(content.index(b"moov") - 4 - place)
    path = f"/{clip.name}".encode()
    path += b"\0" * (len(path) % 2)
    alias = bytes(10 + 1 + 27 + 12) + struct.pack(">B63s", len(clip.name), clip.name.encode())
    alias += bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)  # up one folder from here, down one to there
    alias += struct.pack(">hH", 2, len(path)) + path + struct.pack(">hH", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    begin = content.index(b"dref") + 12
    [length] = struct.unpack_from(">I", content, begin)
    content[begin : begin + length] = entry
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        before = content.rindex(name, 0, begin) - 4
        struct.pack_into(">I", content, before, struct.unpack_from(">I", content, before)[0] + len(entry) - length)
    target.write_bytes(content)
    return target


def test_a_clip_whose_pictures_lie_in_another_file_does_not_open_it(plain_clip: Path, tmp_path: Path) -> None:
    ffmpeg("-i", plain_clip, "-c", "copy", tmp_path / "whole.mov")
    path = of_other_file(tmp_path / "whole.mov", tmp_path / "a.mov")
    shown = [tmp_path / "there.mkv", tmp_path / "here.mkv"]
    ffmpeg("-enable_drefs", "1", "-i", path, "-c", "copy", shown[0])  # it is a reference that is followed where one may
    ffmpeg("-i", path, "-c", "copy", shown[1])
    assert shown[0].read_bytes() != shown[1].read_bytes()
    assert sampled(shown[0]).frames.any()
    assert refusal(path)


@pytest.mark.parametrize("suffix", [".m4a", ".mp3", ".mkv"])
def test_a_cover_is_no_clip(plain_clip: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    ffmpeg("-i", plain_clip, "-frames:v", "1", tmp_path / "cover.jpg")
    if suffix == ".mkv":
        sound = ("-f", "lavfi", "-i", "sine=d=2", "-c:a", "aac")
        ffmpeg(*sound, "-attach", tmp_path / "cover.jpg", "-metadata:s:t", "mimetype=image/jpeg", path)
    else:
        sound = ("-f", "lavfi", "-i", "sine=d=2", "-i", tmp_path / "cover.jpg", "-map", "0", "-map", "1")
        ffmpeg(*sound, "-c:v", "mjpeg", "-disposition:v", "attached_pic", path)
    assert "cover picture" in refusal(path) or "its format is none of" in refusal(path)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = "color=red@0.0:s=64x48:d=1:r=5,format=argb"
    ffmpeg("-f", "lavfi", "-i", picture, "-c:v", "qtrle", "-pix_fmt", "argb", tmp_path / "a.mov")
    assert (sampled(tmp_path / "a.mov").frames == 255).all()
