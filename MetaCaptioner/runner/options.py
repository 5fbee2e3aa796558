"""The options that the three stages share."""

import math
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from MetaCaptioner.agents.changed_prompts import limit_output
from MetaCaptioner.agents.claims import checking_claims
from MetaCaptioner.agents.prompts import Prompts, PromptsOption, load_prompts
from MetaCaptioner.agents.roles import with_models
from MetaCaptioner.agents.workflow import ClaimsMode
from MetaCaptioner.engine.options import EngineOptions, Servers, endpoint
from MetaCaptioner.errors import BadArguments
from MetaCaptioner.media.decoding.limits import default_memory
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.planning.provenance import OthersOption
from MetaCaptioner.utils.common_options import OutsideOption, SingleLaunchOption
from MetaCaptioner.utils.json_text import from_json, to_json
from MetaCaptioner.utils.options import Flag, Options, option

DEFAULT_MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
_BUDGET = MediaBudget()
_SHARE, _SECONDS = Flag("SHARE"), Flag("S")


class ServerOptions(Options):
    """The servers that `--engine openai` asks, and what they cost."""

    heading: ClassVar[str] = "servers"

    endpoint: list[str] = option(
        [],
        "with --engine openai: address of a server that speaks the OpenAI API, such as http://HOST:8000/v1; repeatable",
        Flag("URL", is_for_named_files=True),
    )
    key_variable: str = option(
        "OPENAI_API_KEY",
        "variable of the environment that has the servers' key",
        Flag("NAME", is_for_named_files=True),
    )
    request_seconds: float = option(600.0, "for a server to answer one request in", _SECONDS, gt=0)
    outage_seconds: float = option(600.0, "end the run when no server has answered for so long", _SECONDS, gt=0)
    pixel_multiple: int | None = option(
        None, "width and height of media are multiples of so many pixels (default: 28, as Qwen2.5-VL has it)", ge=1
    )
    price_in: float | None = option(
        None, "price of a million input tokens, of servers that are paid by them", Flag("MONEY"), ge=0
    )
    price_out: float | None = option(None, "the same of output tokens", Flag("MONEY"), ge=0)

    @field_validator("endpoint")
    @classmethod
    def _as_used(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(endpoint(one) for one in value))

    @field_validator("key_variable")
    @classmethod
    def _check_name(cls, value: str) -> str:
        if not value.isidentifier():  # the value is not repeated: it may be a key
            raise BadArguments("--key-variable takes the name of a variable, not a key")
        return value


class ModelOptions(ServerOptions):
    """The model, and the engine that runs it."""

    heading: ClassVar[str] = "model"

    model: str = option(
        DEFAULT_MODEL,
        "name or folder of a vision model that vLLM can run; or MODEL=…",
        Flag("NAME_OR_FOLDER", environment="MODEL", may_be_path=True),
    )
    engine: Literal["vllm", "openai", "scripted"] = option(
        "vllm", "'openai': servers (--endpoint) run the model; 'scripted' answers without a model: a dry run"
    )
    tensor_parallel_size: int = option(1, "GPUs that one rank uses; or TP=…", Flag("N", environment="TP"), ge=1)
    max_model_len: int | None = option(None, "context length (default 16384, or the model's)", Flag("TOKENS"), ge=1)
    gpu_memory_utilization: float | None = option(
        None, "of each GPU, such as 0.9 (default: vLLM's own)", _SHARE, gt=0, le=1
    )
    seed: int | None = option(None, "make every answer reproducible (a little slower)")
    engine_arg: list[str] = option(
        [],
        "any vLLM engine argument; of servers, a field of requests",
        Flag("NAME=VALUE", is_for_named_files=True),
    )
    chat_template_arg: list[str] = option(
        [],
        "an argument of the model's chat template; enable_thinking=true lets a model that can reason do so",
        Flag("NAME=VALUE"),
    )
    keep_reasoning: bool = option(False, "keep in the records what a model says to itself before an answer")

    @field_validator("engine_arg", "chat_template_arg", mode="before")
    @classmethod
    def _as_typed(cls, value: object) -> object:
        """A mapping, as a file may have it, as it would be typed."""
        if isinstance(value, Mapping):
            return [f"{name}={to_json(one).decode()}" for name, one in value.items()]
        return value

    @model_validator(mode="after")
    def _check_engine_arguments(self) -> Self:
        self.engine_options()
        if self.engine != "openai":
            if self.endpoint:
                raise BadArguments("--endpoint goes with --engine openai")
        elif not self.endpoint:
            raise BadArguments("--engine openai needs --endpoint URL: where a server is that runs the model")
        elif self.max_model_len is not None or self.gpu_memory_utilization is not None:
            raise BadArguments("--max-model-len and --gpu-memory-utilization are the server's own with --engine openai")
        if (self.price_in is None) != (self.price_out is None):
            raise BadArguments("--price-in and --price-out go together: 0 where there is none")
        return self

    @property
    def runs_in_process(self) -> bool:
        """Whether a rank has it in its own process."""
        return self.engine == "vllm"

    @property
    def gpus_a_rank(self) -> int:
        """GPUs that one rank claims."""
        return 0 if self.engine == "openai" else self.tensor_parallel_size

    def engine_options(self) -> EngineOptions:
        """How the engine is built.

        Raises:
            BadArguments: an engine argument has no name.
        """
        return EngineOptions(
            model=self.model,
            kind=self.engine,
            tensor_parallel_size=self.tensor_parallel_size,
            max_model_len=self.max_model_len,
            gpu_memory_utilization=self.gpu_memory_utilization,
            seed=self.seed,
            extra=dict(_argument("--engine-arg", text) for text in self.engine_arg),
            template_arguments=dict(_argument("--chat-template-arg", text) for text in self.chat_template_arg),
            keep_reasoning=self.keep_reasoning,
            servers=self._servers() if self.endpoint else None,
        )

    def _servers(self) -> Servers:
        return Servers(
            tuple(self.endpoint), self.key_variable, self.request_seconds, self.outage_seconds, self.pixel_multiple
        )


class ServeOptions(Options):
    """A server that the launch starts for a model, and ends with the run."""

    gpus: int = option(1, "of the node, its last ones, which no rank then claims; where there are none, the CPU", ge=1)


class RoleOptions(ModelOptions):
    """One of several models."""

    model: str = option(..., "its name, or its folder", Flag("NAME_OR_FOLDER", may_be_path=True))
    serve: ServeOptions | None = option(None, "have the launch start a vLLM server for it, on GPUs of its own")

    @model_validator(mode="after")
    def _check_serve(self) -> Self:
        if self.serve is not None and self.engine != "vllm":
            raise BadArguments("serve: starts vLLM: leave out 'engine', or 'serve' where a server runs already")
        if self.serve is not None and "tensor_parallel_size" in self.model_fields_set:
            raise BadArguments("serve: 'gpus' says on how many it runs: leave out 'tensor_parallel_size'")
        return self

    @property
    def runs_in_process(self) -> bool:
        """Whether a rank has it in its own process."""
        return self.serve is None and super().runs_in_process


class RolesOption(Options):
    """The models by what they are asked for."""

    heading: ClassVar[str] = "model"

    models: dict[str, RoleOptions] = option(
        {}, "several models, by the names that agents say; in a file (docs/models.md), here as JSON", Flag("JSON")
    )

    @field_validator("models")
    @classmethod
    def _check_names(cls, value: dict[str, RoleOptions]) -> dict[str, RoleOptions]:
        for name in value:
            if not name.isidentifier():
                raise BadArguments(f"models: {name}: is no name of a model: letters, digits and _")
        return value


def _argument(flag: str, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals or not name.isidentifier():
        raise BadArguments(f"{flag} '{text}' is not NAME=VALUE")
    try:
        return name, from_json(value)
    except ValueError:
        return name, value


class MediaOptions(OutsideOption):
    """What a picture or clip may cost."""

    heading: ClassVar[str] = "media"

    max_pixels: int = option(_BUDGET.max_pixels, "a picture is shrunk to this many", ge=1)
    video_pixels: int = option(_BUDGET.video_pixels, "the same for each video frame", ge=1)
    video_frames: int = option(_BUDGET.video_frames, "at most so many frames", ge=2)
    video_fps: float = option(_BUDGET.video_fps, "frames taken a second", gt=0)
    max_source_pixels: int = option(_BUDGET.max_source_pixels, "refuse larger files", ge=1)
    decode_seconds: float = option(
        _BUDGET.decode_seconds,
        "processor time, and a little more by the clock, that a file may take to decode",
        _SECONDS,
        gt=0,
    )
    decode_memory: float | None = option(
        None,
        "memory for all files that are decoded at a time (default: a quarter of this rank's share)",
        Flag("GIB"),
        gt=0,
    )

    def budget(self, ranks_here: int = 1) -> MediaBudget:
        """The budget of one of so many ranks of this machine."""
        memory = self.decode_memory
        return MediaBudget(
            max_pixels=self.max_pixels,
            video_pixels=self.video_pixels,
            video_frames=self.video_frames,
            video_fps=self.video_fps,
            max_source_pixels=self.max_source_pixels,
            decode_seconds=self.decode_seconds,
            decode_memory=math.ceil(memory * 2**30) if memory is not None else default_memory(ranks_here),
        )


class LoopOptions(SingleLaunchOption, OthersOption):
    """How a rank works through its samples."""

    heading: ClassVar[str] = "run"

    max_samples: int | None = option(None, "do N pending samples (over all ranks), then end", ge=1)
    max_output_tokens: int | None = option(None, "bound every agent's answer, for a trial run", ge=1)
    retry_errors: bool = option(False, "do the samples again that ended in an error record")
    adopt_plan: bool = option(
        False, "go on with another plan than the results' own: every sample that has a record counts as done"
    )
    takeover_chunk: int = option(
        128,
        "a rank that is done takes over so many samples at a time from slower ones; 0: each keeps to the plan",
        ge=0,
    )
    in_flight: int | None = option(None, "samples in the engine (default: what its cache holds)", ge=1)
    decode_threads: int = option(
        min(8, os.cpu_count() or 1), "processes that decode media ahead (default: one a processor, at most 8)", ge=1
    )
    grace_seconds: float = option(20.0, "for samples in flight after a signal to stop", _SECONDS, ge=0)
    max_error_rate: float = option(0.5, "stop when more of the last 200 samples fail; 1: never", _SHARE, ge=0, le=1)
    stall_seconds: float = option(
        600.0, "start the engine again when it gives no token for so long; 0: never", _SECONDS, ge=0
    )
    max_deaths: int = option(
        5, "give the rank up when the engine has died so often without settling a sample in between", ge=1
    )


class ClaimsOption(Options):
    """Whether captions are checked sentence by sentence."""

    heading: ClassVar[str] = "run"

    claims: ClaimsMode | None = option(
        None,
        "ask of each sentence of a caption whether the media support it; 'check': keep the answers in the records, "
        "'drop': take out sentences that are not supported, 'rewrite': have the summary written once more",
    )


class StageOptions(ModelOptions, RolesOption, MediaOptions, PromptsOption, ClaimsOption, LoopOptions):
    """Everything that the command line of a stage says, but where its work comes from."""

    def prompts(self) -> Prompts:
        """What is asked, as these options have it.

        Raises:
            UserError: a prompt file is wrong, or an agent asks a model that there is not.
        """
        prompts = with_models(load_prompts(self.prompts_dir), self.models)
        if self.max_output_tokens is not None:
            prompts = limit_output(prompts, self.max_output_tokens)
        return prompts if self.claims is None else checking_claims(prompts, self.claims)
