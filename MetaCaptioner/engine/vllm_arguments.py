"""What vLLM is started with: what every run needs, and what captions fastest on this GPU with this model.

`--engine-arg` overrides each. What was measured is in benchmarks/NOTES.md.
"""

from collections.abc import Mapping
from typing import Any

from MetaCaptioner.options import EngineOptions

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
}
_CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else all ranks of a host bind to the same first cores
    "TORCHDYNAMO_DISABLE": "1",  # the grammar mask is else compiled at its first use, for 20 s
}
# In the engine's own process, as on one GPU. vLLM's choice for a CPU is a further process: 10 s of imports at each
# start and a core that is busy waiting for it.
_CPU_EXECUTOR = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
_MOST_SEQUENCES = 1024
_HOPPER = 90
_MODELS_WITH_A_TOWER_TO_COMPILE = ("qwen2_5_vl",)


def environment(on_gpu: bool) -> dict[str, str]:
    """The environment variables that vLLM should find, where the user has not set them."""
    return _ENVIRONMENT | ({} if on_gpu else _CPU_ENVIRONMENT)


def gpu_capability() -> int | None:
    """The compute capability of NVIDIA GPUs, as 90 for Hopper; None where there is none."""
    from vllm.platforms import current_platform

    capability = current_platform.get_device_capability() if current_platform.is_cuda() else None
    return capability.to_int() if capability else None


def necessary(config: Any, options: EngineOptions, on_gpu: bool) -> dict[str, Any]:
    """The engine arguments that are no matter of speed; `config` is the model's, of transformers."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or _DEFAULT_CONTEXT
    arguments: dict[str, Any] = {
        "model": options.model,
        "tensor_parallel_size": options.tensor_parallel_size,
        "max_model_len": options.max_model_len or min(_DEFAULT_CONTEXT, int(longest)),
        "scheduling_policy": "priority",
        "enable_prefix_caching": True,
        "limit_mm_per_prompt": {"image": 1, "video": 1},
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "disable_log_stats": True,
        "enforce_eager": not on_gpu,
        "use_tqdm_on_load": False,
    }
    if not on_gpu and options.tensor_parallel_size == 1:
        arguments["distributed_executor_backend"] = _CPU_EXECUTOR
    if options.seed is not None:
        arguments["seed"] = options.seed
    if options.gpu_memory_utilization is not None:
        arguments["gpu_memory_utilization"] = options.gpu_memory_utilization
    return arguments


def chosen_for_speed(config: Any, given: Mapping[str, object], capability: int | None) -> dict[str, Any]:
    """The engine arguments with which a GPU of this capability runs this model fastest, less those that are `given`."""
    chosen: dict[str, Any] = {
        # vLLM's own for an engine in process are small.
        "max_num_batched_tokens": 8192,
        "max_num_seqs": _MOST_SEQUENCES,
        # A sample's media must still be there when its summary is asked for.
        "mm_processor_cache_gb": 8,
    }
    if not given.keys() & {"compilation_config", "cudagraph_capture_sizes"}:  # who says how, says it all
        # vLLM's end at 512. Without a graph the host takes longer to start a step than the GPU to run it.
        chosen["max_cudagraph_capture_size"] = _MOST_SEQUENCES
    if config.model_type in _MODELS_WITH_A_TOWER_TO_COMPILE:
        chosen["compilation_config"] = {"compile_mm_encoder": True}
    if capability == _HOPPER and _has_one_scale_a_tensor(getattr(config, "quantization_config", None) or {}):
        chosen["linear_backend"] = "torch"  # cuBLAS
    return {name: value for name, value in chosen.items() if name not in given}


def _has_one_scale_a_tensor(quantization: Mapping[str, Any]) -> bool:
    """Whether weights and activations are 8-bit floats with one scale for a whole tensor, in all layers."""
    if quantization.get("quant_method") == "fp8":
        return quantization.get("activation_scheme") == "static" and not quantization.get("weight_block_size")
    groups = (quantization.get("config_groups") or {}).values()
    tensors = [group.get(name) or {} for group in groups for name in ("weights", "input_activations")]
    wanted = {"num_bits": 8, "type": "float", "strategy": "tensor"}
    return bool(tensors) and all(wanted.items() <= tensor.items() for tensor in tensors)
