"""vLLM's AsyncLLM, in process: continuous batching over all agents of all samples in flight.

All requests of a sample begin with the same bytes: the system message, then the media. The prompt around the
instruction is rendered once by the model's own chat template and cut at the instruction, so that this holds by
construction; the media goes by a stable id, so that it is hashed by nobody and encoded once.

Runs on vLLM 0.25 to 0.32.
"""

import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.admission import Admission
from MetaCaptioner.engine.base import SYSTEM_MESSAGE, Completion, Constraint, Request
from MetaCaptioner.engine.model_place import EngineLoadError
from MetaCaptioner.engine.options import EngineOptions
from MetaCaptioner.engine.vllm_arguments import (
    as_flags,
    chosen_for_speed,
    environment,
    gpu_capability,
    model_config,
    necessary,
)
from MetaCaptioner.errors import BadArguments, EngineDead, ErrorKind, SampleError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.utils.import_path import keep_search_paths_absolute

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import RequestOutput

_INSTRUCTION = "@@INSTRUCTION@@"
_GROUP = 32  # measured on one H100; simulated, smaller ones spare few steps more and keep more requests waiting
_FIRST_TOKEN_LOGPROBS = 20  # vLLM's default upper limit


@dataclass(frozen=True)
class _Template:
    """The prompt before and after the instruction."""

    prefix: str
    suffix: str

    def around(self, instruction: str) -> str:
        return f"{self.prefix}{instruction}{self.suffix}"


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
            arguments = {**necessary(config, options, on_gpu), **chosen, **options.extra}
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        except (OSError, ValueError, RuntimeError, TypeError, ImportError, NotImplementedError) as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise EngineLoadError(f"model {options.model} cannot be loaded: {reason}") from error
        self.arguments: Mapping[str, object] = arguments
        self.chosen_for_speed = as_flags(chosen)
        self.max_model_len = self._engine.model_config.max_model_len
        self.pixel_multiple = _pixel_multiple(self._engine.model_config.hf_config)
        cache = self._engine.vllm_config.cache_config
        self.cache_tokens = cache.num_gpu_blocks * cache.block_size if cache.num_gpu_blocks else None
        self._special_tokens = _special_tokens(self._engine.renderer.get_tokenizer())
        self._templates: dict[Modality | None, _Template] = {}
        self._admission = Admission(_GROUP)
        self._finished_tokens = 0
        self._tokens_in_flight: dict[str, int] = {}

    async def generate(self, request: Request) -> Completion:
        output = await self._answer(request, send_media_again=False)
        if output.outputs[0].finish_reason == "error" and request.media is not None:
            # vLLM sends a picture to its engine process once and then goes by its id. If the request that carried it
            # was cancelled on the way, the id is not known there: the one answer is to send the picture again.
            output = await self._answer(request, send_media_again=True)
        return _completion(output, request.constraint)

    async def _answer(self, request: Request, send_media_again: bool) -> "RequestOutput":
        """What vLLM says to a request, once it is finished."""
        from vllm.v1.engine.exceptions import EngineDeadError

        modality = request.media.modality if request.media else None
        prompt = self.prompt_text(request.instruction, modality)
        rendered = await self._render(prompt, request.media, send_media_again)
        length = len(rendered["prompt_token_ids"])
        if length >= self.max_model_len:
            raise SampleError(
                ErrorKind.PROMPT_TOO_LONG,
                f"{request.request_id}: the prompt has {length} tokens, the context holds {self.max_model_len} "
                "(--max-model-len) and an answer needs some; lower --max-pixels, --video-frames or the prompt",
            )
        sampling = _sampling(request, self.max_model_len - length)
        name = f"{request.request_id}{'+media' if send_media_again else ''}"
        output: RequestOutput | None = None
        self._tokens_in_flight[name] = 0
        try:
            async with self._admission.request():
                async for answer in self._engine.generate(rendered, sampling, name, priority=request.priority):
                    output = answer
        except EngineDeadError as error:
            raise EngineDead(f"the engine has died{self._see_log}") from error
        finally:
            seen = self._tokens_in_flight.pop(name)
            self._finished_tokens += len(output.outputs[0].token_ids) if output else seen
        if output is None or not output.finished:
            raise SampleError(ErrorKind.ENGINE_ERROR, f"{request.request_id}: the engine gave no answer")
        return output

    def prompt_text(self, instruction: str, modality: Modality | None) -> str:
        if modality not in self._templates:
            self._templates[modality] = self._render_template(modality)
        return self._templates[modality].around(self._defuse(instruction))

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

    def _defuse(self, text: str) -> str:
        """`text` with a space in whatever the tokenizer would take for a special token, so that no model output, row or
        picture can end a message or open another."""
        return self._special_tokens.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)

    def _render_template(self, modality: Modality | None) -> _Template:
        """Render system message, media and a mark with the model's own chat template; cut at the mark.

        Raises:
            SampleError: `unsupported_media`, the model does not take this kind of media.
            EngineLoadError: the template gives no text that can be cut.
        """
        from vllm.renderers.params import ChatParams

        media = [] if modality is None else [{"type": f"{modality}_url", f"{modality}_url": None, "uuid": "template"}]
        messages = [
            {"role": "system", "content": SYSTEM_MESSAGE},
            {"role": "user", "content": [*media, {"type": "text", "text": _INSTRUCTION}]},
        ]
        parameters = ChatParams(chat_template_kwargs={"add_generation_prompt": True, "tokenize": False})
        try:
            _, prompt = self._engine.renderer.render_messages(cast(Any, messages), parameters)
        except ValueError as error:
            raise SampleError(ErrorKind.UNSUPPORTED_MEDIA, f"{self.model} takes no {modality}: {error}") from error
        text = cast(Mapping[str, object], prompt).get("prompt")
        if not isinstance(text, str) or text.count(_INSTRUCTION) != 1:
            raise EngineLoadError(f"model {self.model}: its chat template cannot be used to build prompts")
        prefix, _, suffix = text.partition(_INSTRUCTION)
        return _Template(prefix, suffix)

    async def _render(self, prompt: str, media: Media | None, send_media_again: bool = False) -> Any:
        """Tokenize the prompt and process the media, in vLLM's own threads."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        content: dict[str, Any] = {"prompt": prompt}
        if media is not None:
            content["multi_modal_uuids"] = {media.modality: [media.media_id]}
            content["multi_modal_data"] = {media.modality: [media.data]}
            if media.modality == "video":
                content |= self._video(media)
        renderer = self._engine.renderer
        unlimited = replace(renderer.default_chat_tok_params, max_total_tokens=None)  # we say it when it is too long
        [rendered] = await renderer.render_cmpl_async(
            [cast(Any, parse_model_prompt(self._engine.model_config, content))],
            unlimited,
            skip_mm_cache=send_media_again,
        )
        return rendered

    def _video(self, media: Media) -> dict[str, Any]:
        """Frames with their place in time. Models whose parser takes no metadata get it as a processor argument."""
        metadata = {
            "fps": media.source_fps,
            "duration": media.duration,
            "total_num_frames": media.source_frames,
            "frames_indices": list(media.frame_indices),
            "video_backend": "pyav",
        }
        parser = self._engine.renderer.get_mm_processor().data_parser
        if getattr(parser, "video_needs_metadata", False):
            return {"multi_modal_data": {"video": [(media.data, {**metadata, "do_sample_frames": False})]}}
        return {"mm_processor_kwargs": {"video_metadata": [metadata], "do_sample_frames": False}}


def _pixel_multiple(config: Any) -> int:
    """Pixels that one visual token spans along a side: patch size times merge size, 28 for Qwen2.5-VL."""
    vision = getattr(config, "vision_config", None)
    patch, merge = getattr(vision, "patch_size", None), getattr(vision, "spatial_merge_size", None)
    return patch * merge if isinstance(patch, int) and isinstance(merge, int) else 28


def _special_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Matches every special token of the tokenizer in running text."""
    names = {str(name) for name in (*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens) if len(str(name)) > 1}
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(re.escape(name) for name in longest_first) or r"(?!)")


def _sampling(request: Request, room: int) -> "SamplingParams":
    """vLLM's sampling parameters; `room` is what the context leaves for an answer."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    sampling, constraint = request.sampling, request.constraint
    structured = None
    if constraint is not None and constraint.choices:
        structured = StructuredOutputsParams(choice=list(constraint.choices))
    elif constraint is not None and constraint.json_schema:
        structured = StructuredOutputsParams(json=dict(constraint.json_schema))
    return SamplingParams(
        max_tokens=min(sampling.max_tokens, room),
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        repetition_penalty=sampling.repetition_penalty,
        seed=sampling.seed,
        logprobs=_FIRST_TOKEN_LOGPROBS if constraint is not None and constraint.choices else None,
        structured_outputs=structured,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(output: "RequestOutput", constraint: Constraint | None) -> Completion:
    """The answer as the rest of the program knows it.

    Raises:
        SampleError: the engine ended it for a reason other than its end or its length.
    """
    answer = output.outputs[0]
    if answer.finish_reason not in ("stop", "length"):
        raise SampleError(
            ErrorKind.ENGINE_ERROR, f"{output.request_id}: the engine ended it early ({answer.finish_reason})"
        )
    reason: Literal["stop", "length"] = "length" if answer.finish_reason == "length" else "stop"
    probabilities: dict[str, float] = {}
    if constraint is not None and constraint.choices and answer.logprobs:
        for entry in cast(Mapping[int, Any], answer.logprobs[0]).values():
            token = entry.decoded_token or ""
            probabilities[token] = probabilities.get(token, 0.0) + math.exp(entry.logprob)
    return Completion(
        text=answer.text,
        finish_reason=reason,
        input_tokens=len(output.prompt_token_ids or ()),
        cached_tokens=output.num_cached_tokens or 0,
        output_tokens=len(answer.token_ids),
        first_token_probabilities=probabilities,
    )
