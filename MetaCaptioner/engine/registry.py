"""The engines by name."""

from collections.abc import Callable
from pathlib import Path

from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.engine_output import EngineOutput, LoadingReport
from MetaCaptioner.engine.model_place import EngineLoadError, check_model
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.utils.cli import note


def open_engine(
    options: EngineOptions, on_gpu: bool, log: Path | None = None, say: Callable[[str], None] = lambda _: None
) -> Engine:
    """Build the engine that `options.kind` names; its library is imported only now.

    What a library prints from then on goes to the file `log`, if one is named; `say` is told what loading is at.

    Raises:
        UserError: it cannot be loaded.
    """
    if options.kind == "scripted":
        from MetaCaptioner.engine.scripted import ScriptedEngine

        return ScriptedEngine(options)
    if options.kind == "openai":
        from MetaCaptioner.engine.openai import OpenAiEngine

        return OpenAiEngine(options, note)
    from MetaCaptioner.engine.vllm import VllmEngine

    check_model(options.model, options.extra)
    if log is None:
        return VllmEngine(options, on_gpu)
    try:
        output = EngineOutput(log)
    except OSError as error:
        raise EngineLoadError(f"log {log}: cannot be written: {error.strerror}") from error
    try:
        with LoadingReport(output, say):
            return VllmEngine(options, on_gpu, log)
    except EngineLoadError as error:
        cause = output.cause() if "root cause" in str(error) else None  # it was another process that failed
        what = f"model {options.model} cannot be loaded: {cause}" if cause else str(error)
        raise EngineLoadError(f"{what}; what it printed is in {log}") from error
