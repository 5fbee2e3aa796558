"""The engines by name."""

from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.options import EngineOptions


def open_engine(options: EngineOptions, on_gpu: bool) -> Engine:
    """Build the engine that `options.kind` names; its library is imported only now.

    Raises:
        UserError: it cannot be loaded.
    """
    if options.kind == "scripted":
        from MetaCaptioner.engine.scripted import ScriptedEngine

        return ScriptedEngine(options)
    from MetaCaptioner.engine.vllm import VllmEngine

    return VllmEngine(options, on_gpu)
