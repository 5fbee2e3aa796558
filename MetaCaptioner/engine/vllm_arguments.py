"""What vLLM is started with: what every run needs, and what captions fastest on this GPU with this model.

`--engine-arg` overrides each. What was measured is in benchmarks/NOTES.md.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter, ValidationError

from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm_answers import FIRST_TOKENS

_DEFAULT_CONTEXT = 16384
_ENVIRONMENT = {
    # A forked engine would inherit the lock on the rank's results and keep it after this process was killed.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # Of no use to the person at the terminal; they come from the engine's own processes.
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore::UserWarning:multiprocessing.resource_tracker",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TORCH_LOGS": "-torch._library",
    "TRANSFORMERS_VERBOSITY": "error",
    "FLASHINFER_LOGGING_LEVEL": "error",
    # The engine's processes would draw bars while they record CUDA graphs. Ours has read this when it is set.
    "TQDM_DISABLE": "1",
}
_CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else all ranks of a host bind to the same first cores
    "TORCHDYNAMO_DISABLE": "1",  # the grammar mask is else compiled at its first use, for 20 s
}
SERVER_ARGUMENTS = (
    "--enable-prompt-tokens-details",  # tells the tokens that were cached
    "--trust-request-mm-kwargs",  # takes the times of a clip's frames
    # These spare time of a request: benchmarks/server_overhead.md.
    "--disable-log-stats",
    "--disable-uvicorn-access-log",
    "--uvicorn-log-level=warning",
    "--disable-fastapi-docs",
)
"""Of vLLM's API server, for every one of ours: with them it answers as the engine in process does, at the least cost a
request. It has no metrics of its own then."""

# In the engine's own process, as on one GPU. vLLM's choice for a CPU is a further process: 10 s of imports at each
# start and a core that is busy waiting for it.
CPU_EXECUTOR = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_MOST_SEQUENCES = 1024
_HOPPER = 90
_TOWERS_TO_COMPILE = ("qwen2_5_vl",)
_SAYS_WHICH_GRAPHS = {"compilation_config", "cudagraph_capture_sizes", "max_num_seqs", "enforce_eager"}


class _Tensor(BaseModel):
    num_bits: Literal[8]
    type: Literal["float"]
    strategy: Literal["tensor"]
    dynamic: Literal[False]


class _Layers(BaseModel):
    weights: _Tensor
    input_activations: _Tensor


class _CompressedTensors(BaseModel):
    quant_method: Literal["compressed-tensors"]
    config_groups: dict[str, _Layers] = Field(min_length=1)
    ignore: list[str]


class _Fp8(BaseModel):
    quant_method: Literal["fp8"]
    activation_scheme: Literal["static"]
    weight_block_size: None = None
    ignore: list[str] = Field(validation_alias=AliasChoices("ignored_layers", "modules_to_not_convert"))


_OneScaleATensor: TypeAdapter[_CompressedTensors | _Fp8] = TypeAdapter(_CompressedTensors | _Fp8)


def environment(on_gpu: bool) -> dict[str, str]:
    """The environment variables that vLLM should find, where the user has not set them."""
    return _ENVIRONMENT | ({} if on_gpu else _CPU_ENVIRONMENT)


def gpu_capability() -> int | None:
    """The compute capability of NVIDIA GPUs, as 90 for Hopper; None where there is none."""
    from vllm.platforms import current_platform

    capability = current_platform.get_device_capability() if current_platform.is_cuda() else None
    return capability.to_int() if capability else None


def model_config(options: EngineOptions) -> Any:
    """The model's configuration, as vLLM will read it.

    Raises:
        OSError, ValueError: it cannot be read.
    """
    from vllm.transformers_utils.config import get_config

    given = options.extra
    source = {name: given[name] for name in ("revision", "code_revision", "config_format") if name in given}
    path = str(given.get("hf_config_path") or options.model)
    overrides: Any = given.get("hf_overrides")
    trusted = bool(given.get("trust_remote_code"))
    return get_config(path, trust_remote_code=trusted, hf_overrides_kw=overrides, **source)


def tokenizer_arguments(options: EngineOptions) -> dict[str, Any]:
    """Hugging Face's tokenizer for a repository that has it and Mistral's own, which vLLM prefers.

    It has the chat template with which the model was published, and takes arguments for it.
    """
    from vllm.transformers_utils.repo_utils import any_pattern_in_repo_files

    given = options.extra
    place: Any = given.get("tokenizer") or options.model
    revision: Any = given.get("tokenizer_revision", given.get("revision"))

    def has(name: str) -> bool:
        return bool(any_pattern_in_repo_files(place, [name], revision=revision))

    are_both = "tokenizer_mode" not in given and has("tekken.json") and has("tokenizer.json")
    return {"tokenizer_mode": "hf"} if are_both else {}


def necessary(config: Any, options: EngineOptions, on_gpu: bool) -> dict[str, Any]:
    """The engine arguments that are no matter of speed, for a model of this configuration."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or _DEFAULT_CONTEXT
    arguments: dict[str, Any] = {
        "model": options.model,
        "tensor_parallel_size": options.tensor_parallel_size,
        "max_model_len": options.max_model_len or min(_DEFAULT_CONTEXT, int(longest)),
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "limit_mm_per_prompt": {"image": 1, "video": 1},
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "max_logprobs": FIRST_TOKENS,
        "disable_log_stats": True,
        "enforce_eager": not on_gpu,
        "use_tqdm_on_load": False,
    }
    if not on_gpu and options.tensor_parallel_size == 1:
        arguments["distributed_executor_backend"] = CPU_EXECUTOR
    if options.seed is not None:
        arguments["seed"] = options.seed
        if not on_gpu:  # vLLM takes back what a sequence has drawn while its prompt is read; torch's for CPUs cannot
            arguments["enable_chunked_prefill"] = False
    if options.gpu_memory_utilization is not None:
        arguments["gpu_memory_utilization"] = options.gpu_memory_utilization
    return arguments


def chosen_for_speed(config: Any, options: EngineOptions, capability: int | None) -> dict[str, Any]:
    """The engine arguments with which a GPU of this capability runs this model fastest, less those that the user gave.

    Nothing is chosen where it was not measured: the tower is compiled on one GPU, cuBLAS multiplies on Hopper.
    """
    chosen: dict[str, Any] = {
        # vLLM's own for an engine in process are small.
        "max_num_batched_tokens": 8192,
        "max_num_seqs": _MOST_SEQUENCES,
        # A sample's media must still be there when its summary is asked for.
        "mm_processor_cache_gb": 8,
    }
    if capability is not None and not options.extra.keys() & _SAYS_WHICH_GRAPHS:
        # vLLM's end at 512. Without a graph the host takes longer to start a step than the GPU to run it.
        chosen["max_cudagraph_capture_size"] = _MOST_SEQUENCES
    if capability is not None and options.tensor_parallel_size == 1 and config.model_type in _TOWERS_TO_COMPILE:
        chosen["compilation_config"] = {"compile_mm_encoder": True}
    if capability == _HOPPER and _has_one_scale_a_tensor(getattr(config, "quantization_config", None)):
        chosen["linear_backend"] = "torch"  # cuBLAS
    return {name: value for name, value in chosen.items() if name not in options.extra}


def as_flags(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Each as `--engine-arg` takes it, to be pasted into a shell."""
    return tuple(
        shlex.quote(f"{name}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}")  # noqa: TID251 for a shell
        for name, value in arguments.items()
    )


def _has_one_scale_a_tensor(quantization: object) -> bool:
    """Whether weights and activations are 8-bit floats with one static scale for a whole tensor.

    Only where the vision tower is left as it was: cuBLAS refuses sizes that are no multiple of 16, such as its 3,420.
    """
    try:
        left = _OneScaleATensor.validate_python(quantization).ignore
    except ValidationError:
        return False
    return any("visual" in name or "vision" in name for name in left)
