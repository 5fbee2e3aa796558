"""vLLM's AsyncLLM, in process: continuous batching over all agents of all samples in flight.

All requests of a sample begin with the same bytes: the system message, then the media. The prompt around the
instruction is written once by the model's own chat template (`vllm_prompts`), so that this holds by construction; the
media goes by a stable id, so that it is hashed by nobody and encoded once.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.admission import Admission
from MetaCaptioner.engine.base import Completion, Request
from MetaCaptioner.engine.mistral_prompts import MistralPromptWriter, has_own_format
from MetaCaptioner.engine.model_place import EngineLoadError
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm_answers import AnswerReader, sampling_parameters
from MetaCaptioner.engine.vllm_arguments import (
    as_flags,
    chosen_for_speed,
    environment,
    gpu_capability,
    model_config,
    necessary,
    tokenizer_arguments,
)
from MetaCaptioner.engine.vllm_prompts import PromptWriter, first_line, refusals
from MetaCaptioner.errors import BadArguments, EngineDead, ErrorKind, SampleError, UserError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.utils.import_path import keep_search_paths_absolute

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput

_GROUP = 32  # measured on one H100; simulated, smaller ones spare few steps more and keep more requests waiting


def _load_opencv() -> None:
    """Load what vLLM loads as well, and undo what that does: it leaves LD_LIBRARY_PATH with an empty entry.

    vLLM's own processes would then take shared libraries, that of Python among them, from the current folder.
    Source: opencv-python, `cv2/__init__.py`, `bootstrap`.
    """
    with suppress(ImportError):
        import cv2  # noqa: F401
    keep_search_paths_absolute()


class VllmEngine:
    """The engine of one rank. Must be made inside a running event loop. What it prints is kept in `log`, if anywhere.

    Raises:
        BadArguments: an `--engine-arg` that vLLM does not know.
        EngineLoadError: the model cannot be loaded.
    """

    _writer: type[PromptWriter] = PromptWriter

    def __init__(self, options: EngineOptions, on_gpu: bool, log: Path | None = None) -> None:
        for name, value in environment(on_gpu).items():
            os.environ.setdefault(name, value)
        self.model = options.model
        self._see_log = f"; what it printed is in {log}" if log else ""
        _load_opencv()
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM
        except ImportError as error:
            raise EngineLoadError(
                f"vLLM cannot be imported ({error}); install it: 'bash script/setup.sh' does, or the extra cpu or gpu"
            ) from error
        known = {field.name for field in fields(AsyncEngineArgs)}
        unknown = sorted(set(options.extra) - known)
        if unknown:
            raise BadArguments(f"--engine-arg {unknown[0]}: vLLM has no such engine argument")
        try:
            config = model_config(options)
            chosen = chosen_for_speed(config, options, gpu_capability()) if on_gpu else {}
            needed = {**necessary(config, options, on_gpu), **tokenizer_arguments(options)}
            arguments = {**needed, **chosen, **options.extra}
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except UserError:  # a signal to stop
            raise
        except Exception as error:  # a model's own code raises what it likes
            raise EngineLoadError(f"model {options.model} cannot be loaded: {first_line(error)}") from error
        self.arguments: Mapping[str, object] = arguments
        self.chosen_for_speed = as_flags(chosen)
        self._admission = Admission(_GROUP)
        self._finished_tokens = 0
        self._tokens_in_flight: dict[str, int] = {}
        try:
            self._prepare(options)
        except UserError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise EngineLoadError(f"model {options.model} cannot be used: {first_line(error)}") from error

    def _prepare(self, options: EngineOptions) -> None:
        """Learn of the model that is loaded what requests need."""
        tokenizer, config = self._engine.renderer.get_tokenizer(), self._engine.model_config
        writer = MistralPromptWriter if has_own_format(tokenizer) else self._writer
        self._prompts = writer(options.model, self._engine, options.template_arguments)
        self._answers = AnswerReader(tokenizer, options.keep_reasoning)
        self.max_model_len, self._most_logprobs = config.max_model_len, config.max_logprobs
        self.pixel_multiple = _pixel_multiple(config.hf_config)
        cache = self._engine.vllm_config.cache_config
        self.cache_tokens = cache.num_gpu_blocks * cache.block_size if cache.num_gpu_blocks else None

    async def generate(self, request: Request) -> Completion:
        output = await self._answer(request, send_media_again=False)
        if output.outputs[0].finish_reason == "error" and request.media is not None:
            # vLLM sends a picture to its engine process once and then goes by its id. If the request that carried it
            # was cancelled on the way, the id is not known there: the one answer is to send the picture again.
            output = await self._answer(request, send_media_again=True)
        modality = request.media.modality if request.media else None
        opened = self._prompts.template(modality, request.constraint is not None).opened
        return self._answers.completion(output, request.constraint, opened)

    async def _answer(self, request: Request, send_media_again: bool) -> "RequestOutput":
        """What vLLM says to a request, once it is finished."""
        from vllm.v1.engine.exceptions import EngineDeadError

        is_held = request.constraint is not None
        rendered = await self._prompts.rendered(request.instruction, request.media, is_held, send_media_again)
        length = len(rendered["prompt_token_ids"])
        if length >= self.max_model_len:
            raise SampleError(
                ErrorKind.PROMPT_TOO_LONG,
                f"{request.request_id}: the prompt has {length} tokens, the context holds {self.max_model_len} "
                "(--max-model-len) and an answer needs some; lower --max-pixels, --video-frames or the prompt",
            )
        name = f"{request.request_id}{'+media' if send_media_again else ''}"
        output: RequestOutput | None = None
        self._tokens_in_flight[name] = 0
        try:
            sampling = sampling_parameters(request, self.max_model_len - length, self._most_logprobs)
            async with self._admission.request():
                async for answer in self._engine.generate(rendered, sampling, name, priority=request.priority):
                    output = answer
        except EngineDeadError as error:
            raise EngineDead(f"the engine has died{self._see_log}") from error
        except refusals() as error:
            raise SampleError(ErrorKind.ENGINE_ERROR, f"{request.request_id}: {first_line(error)}") from error
        finally:
            seen = self._tokens_in_flight.pop(name)
            self._finished_tokens += len(output.outputs[0].token_ids) if output else seen
        if output is None or not output.finished:
            raise SampleError(ErrorKind.ENGINE_ERROR, f"{request.request_id}: the engine gave no answer")
        return output

    def prompt_text(self, instruction: str, modality: Modality | None) -> str:
        return self._prompts.text(instruction, modality)

    def media_tokens(self, media: Media) -> int | None:
        return self._prompts.media_tokens(media)

    def progress(self) -> int:
        # vLLM's own books of what is in flight, which it keeps whether or not it streams or logs; nothing else is as
        # cheap: streamed output wakes a task for every token, its statistics are gathered in every step.
        # They forget a request before its answer is fetched here, so what was last seen of it counts until then.
        for state in self._engine.output_processor.request_states.values():
            if state.external_req_id in self._tokens_in_flight:
                self._tokens_in_flight[state.external_req_id] = int(state.detokenizer.num_output_tokens())
        return self._finished_tokens + sum(self._tokens_in_flight.values())

    def stop_waiting(self) -> None:
        """None of them waits for long."""

    def close(self) -> None:
        self._engine.shutdown(timeout=0)
        del self._engine  # its finalizer fails once the interpreter is being taken down


def _pixel_multiple(config: Any) -> int:
    """Pixels that one visual token spans along a side: patch size times merge size, 28 for Qwen2.5-VL."""
    vision = getattr(config, "vision_config", None)
    patch, merge = getattr(vision, "patch_size", None), getattr(vision, "spatial_merge_size", None)
    return patch * merge if isinstance(patch, int) and isinstance(merge, int) else 28
