"""The flags that the three stages share, as one frozen value."""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from MetaCaptioner.errors import BadArguments
from MetaCaptioner.media import MediaBudget

ENGINES = ("vllm", "scripted")


@dataclass(frozen=True)
class EngineOptions:
    """How the engine is built; `extra` goes to it as it is."""

    model: str
    kind: str = "vllm"
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    seed: int | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class StageOptions:
    """Everything that the command line of a stage says, but where its work comes from."""

    engine: EngineOptions
    budget: MediaBudget
    prompts_dir: Path | None
    max_samples: int | None
    max_output_tokens: int | None
    retry_errors: bool
    in_flight: int | None
    decode_threads: int
    grace_seconds: float
    max_error_rate: float
    stall_seconds: float
    max_deaths: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shared flags to a stage's parser."""
    media = MediaBudget()
    model = parser.add_argument_group("model")
    model.add_argument("--model", required=True, help="name or folder of a vision model that vLLM can run")
    model.add_argument(
        "--engine", choices=ENGINES, default="vllm", help="'scripted' answers without a model: a dry run"
    )
    model.add_argument("--tensor-parallel-size", type=int, default=1, metavar="N", help="GPUs that one rank uses")
    model.add_argument(
        "--max-model-len", type=int, metavar="TOKENS", help="context length (default 16384, or the model's)"
    )
    model.add_argument("--gpu-memory-utilization", type=float, metavar="SHARE", help="of each GPU, such as 0.9")
    model.add_argument("--seed", type=int, help="make every answer reproducible (a little slower)")
    model.add_argument(
        "--engine-arg", action="append", default=[], metavar="NAME=VALUE", help="any vLLM engine argument"
    )
    parser_media = parser.add_argument_group("media")
    parser_media.add_argument(
        "--max-pixels", type=int, default=media.max_pixels, help="a picture is shrunk to this many"
    )
    parser_media.add_argument(
        "--video-pixels", type=int, default=media.video_pixels, help="the same for each video frame"
    )
    parser_media.add_argument("--video-frames", type=int, default=media.video_frames, help="at most so many frames")
    parser_media.add_argument("--video-fps", type=float, default=media.video_fps, help="frames taken a second")
    parser_media.add_argument(
        "--max-source-pixels", type=int, default=media.max_source_pixels, help="refuse larger files"
    )
    run = parser.add_argument_group("run")
    run.add_argument("--prompts-dir", type=Path, help="prompt files that replace or add domains")
    run.add_argument("--max-samples", type=int, metavar="N", help="do N pending samples (over all ranks), then end")
    run.add_argument("--max-output-tokens", type=int, metavar="N", help="bound every agent's answer, for a trial run")
    run.add_argument("--retry-errors", action="store_true", help="do the samples again that ended in an error record")
    run.add_argument("--in-flight", type=int, metavar="N", help="samples in the engine (default: what its cache holds)")
    run.add_argument("--decode-threads", type=int, default=min(8, os.cpu_count() or 1), metavar="N")
    run.add_argument("--grace-seconds", type=float, default=20.0, help="for samples in flight after a signal to stop")
    run.add_argument(
        "--max-error-rate", type=float, default=0.5, metavar="SHARE", help="stop when more of the last 200 samples fail"
    )
    run.add_argument(
        "--stall-seconds",
        type=float,
        default=600.0,
        metavar="S",
        help="start the engine again when it gives no token for so long; 0: never",
    )
    run.add_argument(
        "--max-deaths",
        type=int,
        default=5,
        metavar="N",
        help="give the rank up when the engine has died so often without finishing a sample in between",
    )


def _engine_argument(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name.isidentifier():
        raise BadArguments(f"--engine-arg '{text}' is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise BadArguments(message)


def from_arguments(arguments: argparse.Namespace) -> StageOptions:
    """The shared options.

    Raises:
        BadArguments: a value is out of its range.
    """
    for name in (
        "tensor_parallel_size",
        "max_pixels",
        "video_pixels",
        "decode_threads",
        "max_source_pixels",
        "max_deaths",
    ):
        _require(getattr(arguments, name) >= 1, f"--{name.replace('_', '-')} must be at least 1")
    for name in ("max_model_len", "max_samples", "max_output_tokens", "in_flight"):
        value = getattr(arguments, name)
        _require(value is None or value >= 1, f"--{name.replace('_', '-')} must be at least 1")
    _require(arguments.video_frames >= 2, "--video-frames must be at least 2")
    _require(arguments.video_fps > 0, "--video-fps must be above 0")
    _require(arguments.grace_seconds >= 0, "--grace-seconds must be at least 0")
    _require(arguments.stall_seconds >= 0, "--stall-seconds must be at least 0")
    _require(0 <= arguments.max_error_rate <= 1, "--max-error-rate must be from 0 to 1")
    share = arguments.gpu_memory_utilization
    _require(share is None or 0 < share <= 1, "--gpu-memory-utilization must be above 0 and at most 1")
    return StageOptions(
        engine=EngineOptions(
            model=arguments.model,
            kind=arguments.engine,
            tensor_parallel_size=arguments.tensor_parallel_size,
            max_model_len=arguments.max_model_len,
            gpu_memory_utilization=share,
            seed=arguments.seed,
            extra=dict(_engine_argument(text) for text in arguments.engine_arg),
        ),
        budget=MediaBudget(
            max_pixels=arguments.max_pixels,
            video_pixels=arguments.video_pixels,
            video_frames=arguments.video_frames,
            video_fps=arguments.video_fps,
            max_source_pixels=arguments.max_source_pixels,
        ),
        prompts_dir=arguments.prompts_dir,
        max_samples=arguments.max_samples,
        max_output_tokens=arguments.max_output_tokens,
        retry_errors=arguments.retry_errors,
        in_flight=arguments.in_flight,
        decode_threads=arguments.decode_threads,
        grace_seconds=arguments.grace_seconds,
        max_error_rate=arguments.max_error_rate,
        stall_seconds=arguments.stall_seconds,
        max_deaths=arguments.max_deaths,
    )
