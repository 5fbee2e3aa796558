"""A prompt writer for a checkpoint without its weights: what vLLM makes of a prompt needs no engine."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from MetaCaptioner.engine.vllm_arguments import environment
from MetaCaptioner.engine.vllm_prompts import PromptWriter

NONE: Mapping[str, object] = MappingProxyType({})


def renderer_of(model: Path, **arguments: Any) -> Any:
    """What the engine of this model has of a renderer and of its configuration."""
    import os

    for name, value in environment(on_gpu=False).items():
        os.environ.setdefault(name, value)
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.renderers.registry import renderer_from_config

    given = {"max_model_len": 4096, "limit_mm_per_prompt": {"image": 1, "video": 1}, **arguments}
    config = AsyncEngineArgs(model=str(model), **given).create_engine_config()
    return SimpleNamespace(renderer=renderer_from_config(config), model_config=config.model_config)


def writer_of(model: Path, arguments: Mapping[str, object] = NONE, **engine_arguments: Any) -> PromptWriter:
    return PromptWriter(str(model), renderer_of(model, **engine_arguments), arguments)
