"""Decoding with FFmpeg's libraries: which frames a file shows, when, and what is on them.

The packets are read first, without decoding them: they tell the time of every frame. Then the packets of the wanted
frames, and of those that they build upon, are decoded in the order in which they lie in the file; nothing seeks. Every
frame that comes out is held against what the packets told. Where the two differ, all is decoded twice: once to learn
which frames there are, once to take the wanted ones.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, NoReturn

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from MetaCaptioner.data.media_source import Content
from MetaCaptioner.media.clip import Clip, Plan, VideoError, Wanted, rising_times
from MetaCaptioner.media.orientation import picture_within, upright_picture, upright_size
from MetaCaptioner.media.packet_times import PacketFacts, PacketIndex

FORMATS = (
    "mov",
    "matroska",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "asf",
    "ogg",
    "gif",
    "mxf",
    "rm",
    "ivf",
    "dv",
)
"""FFmpeg's names of the containers that are read: none that names other files (playlists, lists of pictures)."""

_BUFFER_BYTES = 2**18
_GIF_TAIL_BYTES = 1024
_STARTS_ANEW_AT_KEYFRAMES = frozenset(("h264", "hevc", "libdav1d", "av1", "vp9"))
# Of HEVC, pictures that are so marked may still be built upon by those of higher temporal layers.
_MARKS_WHAT_NOTHING_BUILDS_UPON = frozenset(("h264",))
_PICTURE_BRANDS = frozenset(("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "mif2", "msf1", "avif", "avis"))
_COMPLAINS_OF_LOSSES = frozenset(("matroska", "ogg"))

# How the decoders begin that give a damaged picture without marking it as such.
_COMPLAINTS_OF_DAMAGE = {
    "gif": ("LZW",),
    "mjpeg": ("error y=", "error count", "mjpeg_decode_dc"),
    "theora": ("Coefficient index overflow",),
}


class _UnlikePacketsError(Exception):
    """The frames that were decoded are not those that the packets told of."""


Admit = Callable[[int, int, int], None]
"""Told width and height of the frames and how many there are, 0 as long as that is not known; it may wait or raise."""


def _admit_all(width: int, height: int, frames: int) -> None:
    pass


def sample(source: Content, plan: Plan, admit: Admit = _admit_all) -> Clip:
    """Decode the frames that `plan` wants of a clip.

    Raises:
        VideoError: it has no video, cannot be decoded, or ends before its end.
        OSError: it cannot be read.
        MemoryError: there is not enough.
        Exception: what `plan` and `admit` raise.
    """
    try:
        index, size = _read_packets(source, admit)
        admit(*size, len(index.stamps))
        with _complaints() as complaints:
            try:
                clip = _by_packets(source, index, size, plan)
            except (_UnlikePacketsError, av.FFmpegError):
                clip = _by_decoding_all(source, index, size, plan)
        _check_decoder(complaints)
        return clip
    except av.ArgumentError:  # what a format that is not on the list comes out as
        raise VideoError(f"no video can be read from it: its format is none of {', '.join(FORMATS)}") from None
    except av.MemoryError as error:
        raise MemoryError(str(error)) from error
    except av.FFmpegError as error:
        raise VideoError(f"no video can be read from it: {error.strerror or type(error).__name__}") from None


@contextmanager
def _opened(source: Content) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The file and its video. Nothing but the file itself can be opened, whatever it says."""
    how: dict[str, Any] = {
        "options": {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "none"},
        "metadata_errors": "replace",  # old titles are seldom in UTF-8
        "buffer_size": _BUFFER_BYTES,
        "io_open": _refuse,
    }
    with source.open() as file, av.open(file, **how) as container:
        stream = _best_stream(container)
        stream.codec_context.thread_count = 1  # a rank decodes many clips at a time
        yield container, stream


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise VideoError(f"the file asks for another one, which is not opened: {url:.80}")


def _best_stream(container: InputContainer) -> VideoStream:
    """The video that FFmpeg's command line would take: the largest, with a bonus for the default; no cover picture."""
    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & stills]
    if container.metadata.get("major_brand") in _PICTURE_BRANDS:  # their pictures, or parts of one, are no tracks
        streams = [stream for stream in streams if stream.duration]
        if not streams:
            raise VideoError("is a picture (HEIC or AVIF), in a row that names a video")
    if not streams:
        what = "only a cover picture" if len(container.streams.video) else "audio only?"
        raise VideoError(f"has no video stream ({what})")
    decodable = [stream for stream in streams if getattr(stream, "codec_context", None) is not None]
    if not decodable:
        raise VideoError("its video is of a codec that cannot be decoded here")
    return max(decodable, key=_rank_of_stream)


def _rank_of_stream(stream: VideoStream) -> tuple[int, int]:
    bonus = 5_000_000 if stream.disposition & Disposition.default else 0
    return stream.codec_context.width * stream.codec_context.height + bonus, -stream.index


def _read_packets(source: Content, admit: Admit) -> tuple[PacketIndex, tuple[int, int]]:
    """Read all packets, and decode as many as the first frame takes, which tells the size of the picture.

    Raises:
        VideoError: there are no frames, or some are lost.
    """
    first: VideoFrame | None = None
    packets: list[PacketFacts] = []
    last_end = 0.0
    with _opened(source) as (container, stream), _complaints() as complaints:
        begin = stream.start_time
        admit(stream.codec_context.width, stream.codec_context.height, 0)
        for packet in _all_packets(container):
            is_video = packet.stream_index == stream.index
            if packet.size and (is_video or packet.stream.type == "audio"):
                last_end = max(last_end, _end_of(packet))
            if is_video and packet.size:
                packets.append(PacketFacts.of(packet))
            if is_video and first is None:
                with suppress(av.FFmpegError):  # `_shown_frames` tells which errors matter
                    first = next(iter(stream.codec_context.decode(packet)), None)
        if not packets:
            raise VideoError("the video has no frames")
        if first is None:  # a lone frame may come out at the end only
            with suppress(av.FFmpegError):
                first = next(iter(stream.codec_context.decode(None)), None)
        if first is None:
            raise VideoError("none of its frames can be decoded")
        _check_complaints(container, complaints)
        _check_trailer(container, source)
        index = PacketIndex.of(container, stream, packets, begin)
        index.check(container, stream, last_end)
        return index, upright_size(stream.sample_aspect_ratio, first)


def _all_packets(container: InputContainer) -> Iterator["Packet[Any]"]:
    try:
        yield from container.demux()
    except av.FFmpegError as error:
        raise VideoError(f"its data are cut off or damaged: {error.strerror}") from None


def _check_complaints(container: InputContainer, complaints: list[tuple[int, str, str]]) -> None:
    """Refuse a file of which FFmpeg's reader says, if only in its log, that something is missing."""
    if container.format.name.split(",")[0] in _COMPLAINS_OF_LOSSES:
        for _, name, text in complaints:
            if name == container.format.name:
                raise VideoError(f"some of its data are damaged or missing: {text.strip():.120}")


def _check_decoder(complaints: list[tuple[int, str, str]]) -> None:
    """Refuse pictures of which the decoder says in its log alone that it could not read them to their end."""
    for _, name, text in complaints:
        if text.startswith(_COMPLAINTS_OF_DAMAGE.get(name, ())):
            raise VideoError(f"its frames are damaged: {text.strip():.120}")


def _check_trailer(container: InputContainer, source: Content) -> None:
    """Refuse a GIF that was cut off: only its last byte tells."""
    if container.format.name == "gif":
        with source.open() as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _GIF_TAIL_BYTES))
            tail = file.read().rstrip(b"\0\r\n\t ")
        if tail and not tail.endswith(b";"):
            raise VideoError("its end is missing: was it cut off?")


def _end_of(packet: "Packet[Any]") -> float:
    begin = packet.pts if packet.pts is not None else packet.dts
    return 0.0 if begin is None else float((begin + (packet.duration or 0)) * packet.time_base)


@contextmanager
def _complaints() -> Iterator[list[tuple[int, str, str]]]:
    """The errors that FFmpeg writes meanwhile: level, who complains, text."""
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # another clip may have had the same
    try:
        with av.logging.Capture() as complaints:
            yield complaints
    finally:
        av.logging.set_level(None)


def _by_packets(source: Content, index: PacketIndex, size: tuple[int, int], plan: Plan) -> Clip:
    """The wanted frames, as the packets tell where they are.

    Raises:
        _UnlikePacketsError: they told it wrongly.
    """
    if not index.is_plain():
        raise _UnlikePacketsError
    order = index.order
    stamps = index.stamps[order]
    facts = index.facts(stamps, float(index.durations[order[-1]]), size)
    wanted = plan(facts)
    return Clip(facts, wanted, np.stack(_decode_stretches(source, index, size, wanted)))


def _decode_stretches(
    source: Content, index: PacketIndex, size: tuple[int, int], wanted: Wanted
) -> list[NDArray[np.uint8]]:
    """The wanted frames; what none of them builds upon is passed over.

    Raises:
        _UnlikePacketsError: a frame is not where the packets say.
    """
    order = index.order
    stamps = index.stamps[order]
    pictures: list[NDArray[np.uint8]] = []
    with _opened(source) as (container, stream):
        decoder = stream.codec_context
        packets = {int(order[rank]) for rank in wanted.indices}
        begins = [0 if rank == 0 else _begin_of(index, int(order[rank]), stream) for rank in wanted.indices]
        first_stamp = last_stamp = -np.inf
        is_resting = False
        for number, packet in enumerate(_video_packets(container, stream, index)):
            if packet is not None and number < begins[len(pictures)]:
                is_resting = True
                continue
            if is_resting:
                decoder.flush_buffers()
                first_stamp = last_stamp = index.stamps[number] - 1
                is_resting = False
            if decoder.name in _MARKS_WHAT_NOTHING_BUILDS_UPON:
                decoder.skip_frame = "DEFAULT" if number in packets else "NONREF"
            for frame in decoder.decode(packet):
                stamp = np.nan if frame.pts is None else frame.pts
                if stamp <= first_stamp:
                    continue  # it builds upon frames before the keyframe that decoding began at
                rank = int(np.searchsorted(stamps, stamp))
                is_known = rank < len(stamps) and stamps[rank] == stamp > last_stamp
                if not is_known or rank > wanted.indices[len(pictures)] or frame.is_corrupt:
                    raise _UnlikePacketsError
                last_stamp = stamp
                pictures += _as_wanted(frame, rank, wanted, stream, size)
                if len(pictures) == len(wanted.indices):
                    return pictures
    raise _UnlikePacketsError


def _begin_of(index: PacketIndex, packet: int, stream: VideoStream) -> int:
    """The keyframe at which decoding must begin for the frame of `packet`: the last that is shown no later."""
    if stream.codec_context.name not in _STARTS_ANEW_AT_KEYFRAMES:
        return 0
    [keys] = np.nonzero(index.keys[: packet + 1] & (index.stamps[: packet + 1] <= index.stamps[packet]))
    return int(keys[-1]) if len(keys) else 0


def _video_packets(
    container: InputContainer, stream: VideoStream, index: PacketIndex
) -> Iterator["Packet[Any] | None"]:
    """The packets of `index` that are whole, and None at the end, for the frames that the decoder still holds."""
    packets = (packet for packet in container.demux(stream) if packet.size)
    yield from islice(packets, index.end)
    yield None


def _as_wanted(
    frame: VideoFrame, rank: int, wanted: Wanted, stream: VideoStream, size: tuple[int, int]
) -> list[NDArray[np.uint8]]:
    """The frame as often as it is wanted; `size` is the upright one of the clip's first frame."""
    times = wanted.indices.count(rank)
    if not times:
        return []
    if upright_size(stream.sample_aspect_ratio, frame) == size:
        return [upright_picture(frame, wanted.width, wanted.height)] * times
    own_size = upright_size(stream.codec_context.sample_aspect_ratio, frame)
    return [picture_within(frame, own_size, size, (wanted.width, wanted.height))] * times


def _by_decoding_all(source: Content, index: PacketIndex, size: tuple[int, int], plan: Plan) -> Clip:
    """The wanted frames, of those that come out when everything is decoded.

    Raises:
        VideoError: something between the first frame and the last cannot be decoded.
    """
    found = [(frame.pts, frame.duration) for _, frame in _shown_frames(source, index)]
    if not found:
        raise VideoError("none of its frames can be decoded")
    times = rising_times([stamp for stamp, _ in found], index.step, index.longest_gap)
    facts = index.facts(times, found[-1][1] or 0, size)
    wanted = plan(facts)
    pictures: list[NDArray[np.uint8]] = []
    for rank, (stream, frame) in enumerate(_shown_frames(source, index)):
        pictures += _as_wanted(frame, rank, wanted, stream, size)
        if len(pictures) == len(wanted.indices):
            break
    return Clip(facts, wanted, np.stack(pictures))


def _shown_frames(source: Content, index: PacketIndex) -> Iterator[tuple[VideoStream, VideoFrame]]:
    """All frames in the order of their showing, each with the stream that it is of.

    What a recording that began between two keyframes cannot show is left out, as is a last packet that was cut off.

    Raises:
        VideoError: a frame is damaged.
    """
    is_first, has_damage = True, False
    with _opened(source) as (container, stream):
        for number, packet in enumerate(_video_packets(container, stream, index)):
            try:
                frames = stream.codec_context.decode(packet)
            except av.FFmpegError as error:
                is_early = is_first and (index.is_broadcast or number < index.first_key)
                if is_early or number >= index.end - 1:
                    continue
                raise VideoError(f"its video packet {number} cannot be decoded: {error.strerror}") from None
            for frame in frames:
                if frame.is_corrupt and index.is_broadcast and frame.pts == index.stamps[index.end - 1]:
                    continue
                has_damage = frame.is_corrupt or (has_damage and not frame.key_frame)
                if is_first and has_damage and (index.is_broadcast or number < index.first_key):
                    continue
                if frame.is_corrupt:
                    raise VideoError(f"its frames are damaged from video packet {number} on")
                is_first = False
                yield stream, frame
