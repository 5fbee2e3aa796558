"""Clips in the forms that people have: made by FFmpeg on the spot from one plain clip."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

_X264 = "-c:v libx264 -preset veryfast -crf 8 -pix_fmt yuv420p"
_X265 = "-c:v libx265 -preset veryfast -crf 8 -pix_fmt yuv420p -x265-params log-level=none:pools=1:frame-threads=1"
_SEEKS_NOT = "-seekable 0"
_OPEN = "-g 12 -bf 3 -x264-params open-gop=1:b-pyramid=normal:scenecut=0"
_OPEN_265 = f"{_X265}:open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0"
_AV1 = "-c:v libsvtav1 -preset 10 -crf 12 -svtav1-params lp=1"
_VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 0 -crf 10 -auto-alt-ref 1 -lag-in-frames 16"
_QUICKTIME_TURNS = {90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}


@dataclass(frozen=True)
class Form:
    """How a clip is made: the end of its name, and FFmpeg's arguments for each step from one file to the next.

    Every step reads what the one before wrote, the first one the plain clip; `{source}` is the plain clip again. A form
    that `is_whole` shows all that the plain clip shows, at the same times.
    """

    suffix: str
    steps: tuple[str, ...]
    is_whole: bool = True

    def make(self, source: Path, target: Path) -> Path:
        """Write it."""
        last = source
        for number, step in enumerate(self.steps, 1):
            is_last = number == len(self.steps)
            name = target if is_last else target.with_name(f"{target.stem}-{number}{_between(step)}")
            before, _, after = step.partition(" | ")
            arguments = [text.format(source=source) for text in shlex.split(after if _ else before)]
            options = shlex.split(before) if _ else []
            ffmpeg(*options, "-i", last, *arguments, name)
            last = name
        return target


def _between(step: str) -> str:
    """The end of the name of a file between two steps."""
    return ".ts" if "mpegts" in step else ".mkv" if "matroska" in step else ".mp4"


def ffmpeg(*arguments: object) -> None:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def _turned(degrees: int) -> Form:
    """Stored turned, with a note how to turn it back."""
    steps = (f"-vf {_QUICKTIME_TURNS[degrees]} {_X264} -g 12", f"-c copy -metadata:s:v:0 rotate={degrees}")
    return Form(".mp4", steps)


FORMS = {
    "h264 gop 250": Form(".mp4", (f"{_X264} -g 250",)),
    "h264 gop 12": Form(".mp4", (f"{_X264} -g 12 -bf 3 -x264-params b-pyramid=normal",)),
    "h264 gop 1": Form(".mp4", (f"{_X264} -g 1",)),
    "h264 no b": Form(".mp4", (f"{_X264} -g 12 -bf 0",)),
    "h264 intra refresh": Form(".mp4", (f"{_X264} -g 12 -x264-params intra-refresh=1",)),
    "h264 fragmented": Form(".mp4", (f"{_X264} -g 12 -movflags frag_keyframe+empty_moov",)),
    "h264 mov": Form(".mov", (f"{_X264} -g 30",)),
    "h264 open gop mp4": Form(".mp4", (f"{_X264} {_OPEN}",)),
    "h264 open gop mkv": Form(".mkv", (f"{_X264} {_OPEN}",)),
    "h264 open gop ts": Form(".ts", (f"{_X264} {_OPEN}",)),
    "h264 ts": Form(".ts", (f"{_X264} -g 12",)),
    "h264 mts": Form(".mts", (f"{_X264} -g 12 -f mpegts -mpegts_m2ts_mode 1",)),
    "h264 interlaced ts": Form(".ts", (f"{_X264} -g 12 -flags +ildct+ilme -x264-params tff=1",)),
    "h264 avi": Form(".avi", (f"{_X264} -g 12 -bf 2",)),
    "h264 flv": Form(".flv", (f"{_X264} -g 12 -bf 2",)),
    "h264 mkv through a pipe": Form(".mkv", (f"{_X264} -g 12 -f matroska -live 1",)),
    "mjpeg avi through a pipe": Form(".avi", (f"-c:v mjpeg -q:v 2 {_SEEKS_NOT}",)),
    "av1 ivf through a pipe": Form(".ivf", (f"{_AV1} -g 12 {_SEEKS_NOT}",)),
    "h264 10 bit": Form(".mp4", (f"{_X264} -pix_fmt yuv420p10le -g 12",)),
    "h264 444": Form(".mp4", (f"{_X264} -pix_fmt yuv444p -g 12",)),
    "h264 full range": Form(".mp4", (f"-vf scale=out_range=full {_X264} -pix_fmt yuvj420p -g 12",)),
    "h264 bt709": Form(
        ".mp4", (f"-vf scale=out_color_matrix=bt709 {_X264} -g 12 -colorspace bt709 -color_primaries bt709",)
    ),
    "hevc open gop mkv": Form(".mkv", (_OPEN_265,)),
    "hevc open gop mp4": Form(".mp4", (f"{_OPEN_265} -tag:v hvc1",)),
    "hevc closed gop": Form(".mp4", (f"{_X265}:open-gop=0:keyint=12",)),
    "hevc ts": Form(".ts", (f"{_X265}:keyint=12",)),
    "hevc 10 bit": Form(".mkv", (f"{_X265.replace('yuv420p', 'yuv420p10le')}:keyint=12",)),
    "hevc temporal layers": Form(".mp4", (f"{_X265}:keyint=20:bframes=7:temporal-layers=3",)),
    "h264 negative offsets": Form(".mp4", (f"{_X264} -g 20 -bf 3 -movflags +negative_cts_offsets",)),
    "prores": Form(".mov", ("-c:v prores_ks",)),
    "ffv1": Form(".mkv", ("-c:v ffv1",)),
    "mpeg-2 mxf": Form(".mxf", ("-r 25 -c:v mpeg2video -q:v 2 -bf 2 -g 12",)),
    "mpeg-1": Form(".mpg", ("-r 25 -c:v mpeg1video -q:v 2 -bf 2 -g 12",)),
    "mpeg-2": Form(".mpg", ("-r 25 -c:v mpeg2video -q:v 2 -bf 2 -g 12 -f vob",)),
    "mpeg-2 closed gop": Form(
        ".mpeg", ("-r 25 -c:v mpeg2video -q:v 2 -bf 2 -g 12 -flags +cgop -sc_threshold 1000000000 -f vob",)
    ),
    "mpeg-2 ts": Form(".ts", ("-r 25 -c:v mpeg2video -q:v 2 -bf 2 -g 12",)),
    "mpeg-2 interlaced": Form(".mpg", ("-r 25 -c:v mpeg2video -q:v 2 -bf 2 -flags +ilme+ildct -f vob",)),
    "xvid avi": Form(".avi", ("-c:v libxvid -q:v 2 -bf 2 -g 12",), is_whole=False),  # it loses a frame or two
    "mpeg-4 avi": Form(".avi", ("-c:v mpeg4 -q:v 2 -bf 2 -g 12",)),
    "mpeg-4 avi no b": Form(".avi", ("-c:v mpeg4 -q:v 2 -g 12",)),
    "mpeg-4 mp4": Form(".mp4", ("-c:v mpeg4 -q:v 2 -bf 2 -g 12",)),
    "mpeg-4 3gp": Form(".3gp", ("-c:v mpeg4 -q:v 2 -g 12",)),
    "mjpeg avi": Form(".avi", ("-c:v mjpeg -q:v 2",)),
    "wmv": Form(".wmv", ("-c:v wmv2 -q:v 2 -g 12",)),
    "flv1": Form(".flv", ("-c:v flv1 -q:v 2 -g 12",)),
    "vp8 webm": Form(
        ".webm", ("-c:v libvpx -deadline realtime -cpu-used 8 -b:v 3M -auto-alt-ref 1 -lag-in-frames 16 -g 12",)
    ),
    "vp9 webm": Form(".webm", (f"{_VP9} -g 12",)),
    "vp9 webm one gop": Form(".webm", (f"{_VP9} -g 250",)),
    "vp9 webm through a pipe": Form(".webm", (f"{_VP9} -g 12 -f webm -live 1",)),
    "av1 mp4": Form(".mp4", (f"{_AV1} -g 12",)),
    "av1 webm": Form(".webm", (f"{_AV1} -g 12",)),
    "theora": Form(".ogv", ("-c:v libtheora -q:v 10 -g 12",)),
    "gif": Form(
        ".gif", ("-filter_complex split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=none",)
    ),
    "turned 90": _turned(90),
    "turned 180": _turned(180),
    "turned 270": _turned(270),
    "pixels twice as wide": Form(".mp4", (f"-vf scale=iw/2:ih,setsar=2 {_X264} -g 12",)),
    "pixels twice as high": Form(".mkv", (f"-vf scale=iw:ih/2,setsar=1/2 {_X264} -g 12",)),
    "pixels wide in mpeg-2": Form(".mpg", ("-r 25 -vf scale=iw*3/4:ih,setdar=dar=4/3 -c:v mpeg2video -q:v 2 -f vob",)),
    "pixels wide and turned": Form(
        ".mp4", (f"-vf scale=iw/2:ih,transpose=clock,setsar=1/2 {_X264}", "-c copy -metadata:s:v:0 rotate=90")
    ),
    "times uneven mp4": Form(".mp4", (f"-vf \"select='lt(mod(n,7),3)'\" -vsync vfr {_X264} -g 12",), is_whole=False),
    "times uneven mkv": Form(".mkv", (f"-vf \"select='lt(mod(n,7),3)'\" -vsync vfr {_X264} -g 12",), is_whole=False),
    "a long still": Form(".mp4", (f"-vf \"select='lt(n,2)+gt(n,30)'\" -vsync vfr {_X264} -g 12",), is_whole=False),
    "23.976 a second": Form(".mp4", (f"-r 24000/1001 {_X264} -g 12",)),
    "60 a second": Form(".mp4", (f"-r 60 {_X264} -g 30",)),
    "1 a second": Form(".mp4", (f"-r 1 {_X264}",), is_whole=False),
    "cut mp4": Form(".mp4", (f"{_X264} -g 30", "-ss 1.15 | -c copy"), is_whole=False),
    "cut mp4 at both ends": Form(".mp4", (f"{_X264} -g 30", "-ss 0.55 | -t 1.2 -c copy"), is_whole=False),
    "cut open gop mkv": Form(".mkv", (f"{_X264} {_OPEN} -f matroska", "-ss 1.55 | -c copy"), is_whole=False),
    "cut open gop mp4": Form(".mp4", (f"{_X264} {_OPEN}", "-ss 1.55 | -c copy"), is_whole=False),
    "cut hevc mkv": Form(".mkv", (f"{_OPEN_265} -f matroska", "-ss 1.55 | -c copy"), is_whole=False),
    "cut hevc mp4": Form(".mp4", (_OPEN_265, "-ss 1.55 | -c copy -tag:v hvc1"), is_whole=False),
    "cut ts": Form(".ts", (f"{_X264} -g 12 -f mpegts", "-ss 1.15 | -c copy"), is_whole=False),
    "times from 5000": Form(".ts", (f"{_X264} -g 12 -output_ts_offset 5000",)),
    "times that wrap": Form(".ts", (f"{_X264} -g 12 -output_ts_offset 95442.5",)),
    "times from 7200 mkv": Form(".mkv", (f"{_X264} -g 12 -output_ts_offset 7200",)),
    "stills in mkv": Form(
        ".mkv", (f"-vf \"select='lt(n,1)+gt(n,52)'\" -vsync vfr {_X264} -bf 2", "-c copy"), is_whole=False
    ),
    "av1 ivf": Form(".ivf", (f"{_AV1} -g 12",)),
    "sound first": Form(
        ".mp4", (f"{_X264} -g 12", "-itsoffset 0.7 | -f lavfi -i sine=d=3.2 -map 0:v -map 1:a -c:v copy -c:a aac")
    ),
    "sound longer": Form(".mkv", (f"{_X264}", "-f lavfi -i sine=d=7 -map 0:v -map 1:a -c:v copy -c:a aac")),
    "two videos": Form(
        ".mkv",
        (f"{_X264}", "-i {source} -map 0:v -map 1:v -c:v:0 mpeg4 -filter:v:0 scale=32:32 -c:v:1 copy -disposition:v 0"),
    ),
}
