"""The flags that the three stages share, as one frozen value."""

import argparse
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.media.decoding.limits import default_memory
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.provenance import Others, add_others_arguments
from MetaCaptioner.runtime.settings import whole_number
from MetaCaptioner.utils.json_text import from_json
from MetaCaptioner.utils.locks import add_single_launch_argument
from MetaCaptioner.utils.safe_open import add_outside_argument

ENGINES = ("vllm", "scripted")
DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"


@dataclass(frozen=True)
class StageOptions:
    """Everything that the command line of a stage says, but where its work comes from."""

    engine: EngineOptions
    budget: MediaBudget
    allow_outside_root: bool
    prompts_dir: Path | None
    max_samples: int | None
    max_output_tokens: int | None
    retry_errors: bool
    adopt_plan: bool
    others: Others
    takeover_chunk: int
    in_flight: int | None
    decode_threads: int
    grace_seconds: float
    max_error_rate: float
    stall_seconds: float
    max_deaths: int
    single_launch: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the shared flags to a stage's parser."""
    _add_model_arguments(parser.add_argument_group("model").add_argument)
    media = parser.add_argument_group("media")
    _add_media_arguments(media.add_argument)
    add_outside_argument(media)
    run = parser.add_argument_group("run")
    _add_run_arguments(run.add_argument)
    add_others_arguments(run)
    add_single_launch_argument(run)


def _add_model_arguments(add: Callable[..., object]) -> None:
    model = os.environ.get("MODEL") or DEFAULT_MODEL
    add("--model", default=model, help="name or folder of a vision model that vLLM can run; or MODEL=…")
    add("--engine", choices=ENGINES, default="vllm", help="'scripted' answers without a model: a dry run")
    gpus = whole_number(os.environ, "TP", 1, otherwise=1)
    add("--tensor-parallel-size", type=int, default=gpus, metavar="N", help="GPUs that one rank uses; or TP=…")
    add("--max-model-len", type=int, metavar="TOKENS", help="context length (default 16384, or the model's)")
    add("--gpu-memory-utilization", type=float, metavar="SHARE", help="of each GPU, such as 0.9 (default: vLLM's own)")
    add("--seed", type=int, help="make every answer reproducible (a little slower)")
    add("--engine-arg", action="append", default=[], metavar="NAME=VALUE", help="any vLLM engine argument")


def _add_media_arguments(add: Callable[..., object]) -> None:
    media = MediaBudget()
    add("--max-pixels", type=int, default=media.max_pixels, help="a picture is shrunk to this many")
    add("--video-pixels", type=int, default=media.video_pixels, help="the same for each video frame")
    add("--video-frames", type=int, default=media.video_frames, help="at most so many frames")
    add("--video-fps", type=float, default=media.video_fps, help="frames taken a second")
    add("--max-source-pixels", type=int, default=media.max_source_pixels, help="refuse larger files")
    seconds = "processor time, and a little more by the clock, that a file may take to decode"
    add("--decode-seconds", type=float, metavar="S", default=media.decode_seconds, help=seconds)
    memory = "memory for all files that are decoded at a time (default: a quarter of this rank's share)"
    add("--decode-memory", type=float, metavar="GIB", help=memory)


def _add_run_arguments(add: Callable[..., object]) -> None:
    share = {"type": float, "metavar": "SHARE"}
    count = {"type": int, "metavar": "N"}
    seconds = {"type": float, "metavar": "S"}
    add("--prompts-dir", type=Path, help="prompt files that replace or add domains")
    add("--max-samples", **count, help="do N pending samples (over all ranks), then end")
    add("--max-output-tokens", **count, help="bound every agent's answer, for a trial run")
    add("--retry-errors", action="store_true", help="do the samples again that ended in an error record")
    adopted = "go on with another plan than the results' own: every sample that has a record counts as done"
    add("--adopt-plan", action="store_true", help=adopted)
    chunk = "a rank that is done takes over so many samples at a time from slower ones; 0: each keeps to the plan"
    add("--takeover-chunk", **count, default=128, help=chunk)
    add("--in-flight", **count, help="samples in the engine (default: what its cache holds)")
    add("--decode-threads", **count, default=min(8, os.cpu_count() or 1), help="processes that decode media ahead")
    add("--grace-seconds", **seconds, default=20.0, help="for samples in flight after a signal to stop")
    add("--max-error-rate", **share, default=0.5, help="stop when more of the last 200 samples fail; 1: never")
    stalls = "start the engine again when it gives no token for so long; 0: never"
    add("--stall-seconds", **seconds, default=600.0, help=stalls)
    deaths = "give the rank up when the engine has died so often without settling a sample in between"
    add("--max-deaths", **count, default=5, help=deaths)


def _engine_argument(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name.isidentifier():
        raise BadArguments(f"--engine-arg '{text}' is not NAME=VALUE")
    try:
        return name, from_json(value)
    except ValueError:
        return name, value


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise BadArguments(message)


def _check(arguments: argparse.Namespace) -> None:
    sizes = ("max_pixels", "video_pixels", "max_source_pixels")
    for name in ("tensor_parallel_size", *sizes, "decode_threads", "max_deaths"):
        _require(getattr(arguments, name) >= 1, f"--{name.replace('_', '-')} must be at least 1")
    for name in ("max_model_len", "max_samples", "max_output_tokens", "in_flight"):
        value = getattr(arguments, name)
        _require(value is None or value >= 1, f"--{name.replace('_', '-')} must be at least 1")
    memory = arguments.decode_memory
    _require(memory is None or 0 < memory < math.inf, "--decode-memory must be above 0")
    _require(0 < arguments.decode_seconds < math.inf, "--decode-seconds must be above 0")
    _require(arguments.takeover_chunk >= 0, "--takeover-chunk must be at least 0")
    _require(arguments.video_frames >= 2, "--video-frames must be at least 2")
    _require(arguments.video_fps > 0, "--video-fps must be above 0")
    _require(arguments.grace_seconds >= 0, "--grace-seconds must be at least 0")
    _require(arguments.stall_seconds >= 0, "--stall-seconds must be at least 0")
    _require(0 <= arguments.max_error_rate <= 1, "--max-error-rate must be from 0 to 1")
    share = arguments.gpu_memory_utilization
    _require(share is None or 0 < share <= 1, "--gpu-memory-utilization must be above 0 and at most 1")


def from_arguments(arguments: argparse.Namespace, ranks_here: int = 1) -> StageOptions:
    """The shared options, for one of so many ranks on this machine.

    Raises:
        BadArguments: a value is out of its range.
    """
    _check(arguments)
    memory = arguments.decode_memory
    return StageOptions(
        engine=EngineOptions(
            model=arguments.model,
            kind=arguments.engine,
            tensor_parallel_size=arguments.tensor_parallel_size,
            max_model_len=arguments.max_model_len,
            gpu_memory_utilization=arguments.gpu_memory_utilization,
            seed=arguments.seed,
            extra=dict(_engine_argument(text) for text in arguments.engine_arg),
        ),
        budget=MediaBudget(
            max_pixels=arguments.max_pixels,
            video_pixels=arguments.video_pixels,
            video_frames=arguments.video_frames,
            video_fps=arguments.video_fps,
            max_source_pixels=arguments.max_source_pixels,
            decode_seconds=arguments.decode_seconds,
            decode_memory=int(memory * 2**30) if memory is not None else default_memory(ranks_here),
        ),
        allow_outside_root=arguments.allow_outside_root,
        prompts_dir=arguments.prompts_dir,
        max_samples=arguments.max_samples,
        max_output_tokens=arguments.max_output_tokens,
        retry_errors=arguments.retry_errors,
        adopt_plan=arguments.adopt_plan,
        others=arguments.others,
        takeover_chunk=arguments.takeover_chunk,
        in_flight=arguments.in_flight,
        decode_threads=arguments.decode_threads,
        grace_seconds=arguments.grace_seconds,
        max_error_rate=arguments.max_error_rate,
        stall_seconds=arguments.stall_seconds,
        max_deaths=arguments.max_deaths,
        single_launch=arguments.single_launch,
    )
