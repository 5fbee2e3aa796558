"""The prompt as the model's own chat template writes it, cut at the instruction; and what vLLM makes of it.

The template is asked once for each kind of media. Templates differ in how they want their messages, and fail or garble
them otherwise, so they are asked in several ways until what they write is sound.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import ValidationError

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import SYSTEM_MESSAGE
from MetaCaptioner.engine.model_place import EngineLoadError
from MetaCaptioner.engine.reasoning import BLOCKS, DO_NOT_THINK, Block, left_open
from MetaCaptioner.errors import BadArguments, ErrorKind, SampleError
from MetaCaptioner.media.loader import Media
from MetaCaptioner.utils.json_text import to_json
from MetaCaptioner.utils.validation import first_problem

_INSTRUCTION = "@@INSTRUCTION@@"
_PRINTED_LIST = re.compile(r"""(['"])type\1\s*:\s*(['"])(text|image|video)\2""")
"""A list of contents as Python or JSON prints it."""
_SYSTEM_CONTENT = [{"type": "text", "text": SYSTEM_MESSAGE}]
_PRINTED_SYSTEM = (str(_SYSTEM_CONTENT), to_json(_SYSTEM_CONTENT).decode())
"""The system message as templates print it that take it for a text: what they would write of a text stands there."""
_ANY_REFUSAL = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, RuntimeError)
_METADATA_AS_ARGUMENT = ("qwen2_5_vl", "qwen2_5_omni_thinker")
"""Families that place frames in time, and that older versions of vLLM tell where in an argument of their processor."""


@dataclass(frozen=True)
class Template:
    """The prompt before and after the instruction.

    `opened` is the block that it leaves the model to reason in. `adds_special_tokens` says whether the tokenizer should
    begin it as it begins any text.
    """

    prefix: str
    suffix: str
    opened: Block | None
    adds_special_tokens: bool

    def around(self, instruction: str) -> str:
        return f"{self.prefix}{instruction}{self.suffix}"


class PromptWriter:
    """Writes prompts for a model that vLLM has loaded.

    `arguments` are those of its chat template. It reasons only if they say `enable_thinking`.

    Raises:
        EngineLoadError: no prompt can be made with its chat template.
        BadArguments: the template knows no such argument.
    """

    def __init__(self, model: str, engine: Any, arguments: Mapping[str, object]) -> None:
        self.model = model
        self._renderer = engine.renderer
        self._model_config = engine.model_config
        self._tokenizer = engine.renderer.get_tokenizer()
        self._arguments = arguments
        self._thinks = bool(arguments.get("enable_thinking"))
        self._templates: dict[tuple[Modality | None, bool], Template] = {}
        self._hostile: re.Pattern[str] | None = None
        self._check_arguments()
        self.template(None)

    def template(self, modality: Modality | None, is_held: bool = False) -> Template:
        """The prompt for this kind of media; `is_held` to a form is an answer that no reasoning may go before.

        Raises:
            SampleError: `unsupported_media`, the model does not take this kind of media.
        """
        key = modality, self._thinks and not is_held
        if key not in self._templates:
            self._templates[key] = self._made(*key)
        return self._templates[key]

    def text(self, instruction: str, modality: Modality | None, is_held: bool = False) -> str:
        """The prompt as the model is sent it, before media placeholders are expanded."""
        return self.template(modality, is_held).around(self._defused(instruction))

    async def rendered(
        self, instruction: str, media: Media | None, is_held: bool = False, send_media_again: bool = False
    ) -> Any:
        """The prompt tokenized and its media processed, in vLLM's own threads.

        Raises:
            SampleError: `unsupported_media`; or `engine_error`, it cannot be.
        """
        prompt, parameters = self._unrendered(instruction, media, is_held)
        try:
            [rendered] = await self._renderer.render_cmpl_async([prompt], parameters, skip_mm_cache=send_media_again)
        except refusals() as error:
            raise SampleError(ErrorKind.ENGINE_ERROR, f"vLLM cannot process it: {first_line(error)}") from error
        return rendered

    def media_tokens(self, media: Media) -> int | None:
        """How many tokens of a prompt that picture or clip is; None where the model takes none."""
        try:
            prompt, parameters = self._unrendered("", media, is_held=False)
            [rendered] = self._renderer.render_cmpl([prompt], parameters, skip_mm_cache=True)
        except SampleError:
            return None
        except refusals():
            return None
        return sum(int(place.length) for place in rendered.get("mm_placeholders", {}).get(media.modality, ()))

    def _unrendered(self, instruction: str, media: Media | None, is_held: bool) -> tuple[Any, Any]:
        """The prompt as vLLM's renderer takes it, and how to tokenize it."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        template = self.template(media.modality if media else None, is_held)
        content = self._prompt(instruction, media, is_held)
        default = self._renderer.default_chat_tok_params
        parameters = replace(
            default,
            max_total_tokens=None,  # we say it when it is too long
            add_special_tokens=default.add_special_tokens and template.adds_special_tokens,
        )
        return parse_model_prompt(self._model_config, cast(Any, content)), parameters

    def _prompt(self, instruction: str, media: Media | None, is_held: bool) -> dict[str, Any]:
        text = self.text(instruction, media.modality if media else None, is_held)
        return {"prompt": text, **self._media(media)}

    def _check_arguments(self) -> None:
        """Refuse arguments that the chat template does not know, and that would be passed over."""
        from vllm.renderers.hf import resolve_chat_template, resolve_chat_template_kwargs

        if not self._arguments:
            return
        template = resolve_chat_template(self._tokenizer, None, None, model_config=self._model_config) or ""
        known = {*resolve_chat_template_kwargs(self._tokenizer, template, dict(self._arguments))}
        if any(block.begin in template for block in BLOCKS):
            known.add("enable_thinking")  # it is for this class to end what such a template begins
        if unknown := sorted(self._arguments.keys() - known):
            raise BadArguments(f"--chat-template-arg {unknown[0]}: the model's chat template has no such argument")

    def _made(self, modality: Modality | None, thinks: bool) -> Template:
        text = self._written(modality, thinks)
        prefix, _, suffix = text.partition(_INSTRUCTION)
        opened = left_open(suffix)
        if opened and not thinks:
            suffix, opened = f"{suffix.rstrip()}{opened.empty_end}", None
        begin, end = _put_around(self._tokenizer)
        names = [name for name in (begin, getattr(self._tokenizer, "bos_token", None)) if name]
        is_begun = prefix.startswith(tuple(names))
        if end and not is_begun:  # what ends a text must not stand behind the prompt
            prefix, is_begun = f"{begin}{prefix}", True
        return Template(prefix, suffix, opened, adds_special_tokens=not is_begun)

    def _written(self, modality: Modality | None, thinks: bool) -> str:
        """The whole prompt in the first layout in which the template writes all that it is given.

        Raises:
            SampleError: `unsupported_media`.
            EngineLoadError: it writes no prompt that can be used.
        """
        problem: Exception | None = None
        for layout in _LAYOUTS:
            try:
                text = self._asked(layout, modality, thinks)
                shows_media = modality is None or text != self._asked(layout, None, thinks)
            except refusals() as error:
                problem = problem or error
                continue
            if shows_media and _is_sound(text):
                return text
        why = first_line(problem) if problem else "it leaves out, or garbles, what it is given"
        if modality is not None:
            raise SampleError(ErrorKind.UNSUPPORTED_MEDIA, f"{self.model} takes no {modality}: {why}") from problem
        raise EngineLoadError(
            f"model {self.model}: its chat template cannot be used to build prompts: {why}"
        ) from problem

    def _asked(self, layout: "_Layout", modality: Modality | None, thinks: bool) -> str:
        from vllm.renderers.params import ChatParams

        given = {**self._arguments, **({} if thinks else DO_NOT_THINK)}
        parameters = ChatParams(
            chat_template_content_format=cast(Any, layout.content),
            chat_template_kwargs={"add_generation_prompt": True, "tokenize": False, **given},
        )
        _, prompt = self._renderer.render_messages(cast(Any, layout.messages(modality)), parameters)
        text = cast(Mapping[str, object], prompt).get("prompt")
        if not isinstance(text, str):
            raise TypeError("it gives tokens, no text")
        for printed in _PRINTED_SYSTEM:
            text = text.replace(printed, SYSTEM_MESSAGE)
        return text

    def _media(self, media: Media | None) -> dict[str, Any]:
        """What vLLM is given beside the prompt: the media, their id, and of frames their place in time."""
        if media is None:
            return {}
        content: dict[str, Any] = {
            "multi_modal_uuids": {media.modality: [media.media_id]},
            "multi_modal_data": {media.modality: [media.data]},
        }
        if media.modality == "video":
            parser = self._renderer.get_mm_processor().data_parser
            metadata = _timeline(media)
            if getattr(parser, "video_needs_metadata", False):
                content["multi_modal_data"] = {"video": [(media.data, {**metadata, "do_sample_frames": False})]}
            elif self._model_config.hf_config.model_type in _METADATA_AS_ARGUMENT:
                content["mm_processor_kwargs"] = {"video_metadata": [metadata], "do_sample_frames": False}
        return content

    def _defused(self, text: str) -> str:
        """`text` with a space in what the tokenizer would take for more than text, so that no model output, row or
        picture can end a message or open another."""
        if self._hostile is None:
            written = self.template(None).around("").replace(SYSTEM_MESSAGE, "")
            self._hostile = _hostile(self._tokenizer, self._model_config.hf_config, written)
        return self._hostile.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


@dataclass(frozen=True)
class _Layout:
    """How a template is given its messages: contents as lists or as texts, the system message with a role or before
    what the user says."""

    content: str
    has_system: bool

    def messages(self, modality: Modality | None) -> list[dict[str, object]]:
        media: list[dict[str, object]] = []
        if modality is not None:
            media = [{"type": f"{modality}_url", f"{modality}_url": None, "uuid": "template"}]
        said: list[dict[str, object]] = [*media, {"type": "text", "text": _INSTRUCTION}]
        if self.has_system:
            return [{"role": "system", "content": SYSTEM_MESSAGE}, {"role": "user", "content": said}]
        return [{"role": "user", "content": [{"type": "text", "text": f"{SYSTEM_MESSAGE}\n\n"}, *said]}]


_LAYOUTS = tuple(_Layout(content, has_system) for has_system in (True, False) for content in ("auto", "string"))


def _is_sound(text: str) -> bool:
    return text.count(_INSTRUCTION) == 1 and SYSTEM_MESSAGE in text and not _PRINTED_LIST.search(text)


def _put_around(tokenizer: Any) -> tuple[str, str]:
    """What the tokenizer itself puts before any text, and behind it: none, one or several special tokens."""
    bare, whole = tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("a", add_special_tokens=True)
    for begin in range(len(whole) - len(bare) + 1):
        if whole[begin : begin + len(bare)] == bare:
            around = whole[:begin], whole[begin + len(bare) :]
            before, behind = ("".join(tokenizer.convert_ids_to_tokens(list(part))) for part in around)
            return before, behind
    return "", ""


def _timeline(media: Media) -> dict[str, Any]:
    return {
        "fps": media.source_fps,
        "duration": media.duration,
        "total_num_frames": media.source_frames,
        "frames_indices": list(media.frame_indices),
        "video_backend": "pyav",
    }


def _hostile(tokenizer: Any, config: Any, written: str) -> re.Pattern[str]:
    """Matches in running text the tokens that structure a prompt: the special ones, those that stand for media, and
    those with which the template has `written` one.

    Others that a tokenizer knows as a whole, such as newlines or HTML tags, mean nothing but themselves.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    ids = {number for name, number in vars(config).items() if re.search(r"_token_(id|index)$", name)}
    signs = {str(token) for token in added.values() if not str(token).isalnum() and str(token) in written}
    names = signs | {str(token) for number, token in added.items() if token.special or number in ids}
    names.update(str(token) for token in tokenizer.all_special_tokens)
    longest_first = sorted((name for name in names if len(name.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(re.escape(name) for name in longest_first) or r"(?!)")


def refusals() -> tuple[type[Exception], ...]:
    """What vLLM, the libraries below it and a model's own code raise where they cannot do what they are asked."""
    from vllm import exceptions

    return (*_ANY_REFUSAL, getattr(exceptions, "VLLMError", ValueError))


def first_line(error: BaseException) -> str:
    """What an error says, in a line; its type as well where the message alone says little."""
    if isinstance(error, ValidationError):
        return first_problem(error)
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if not line and error.__cause__ is not None:
        return first_line(error.__cause__)
    tells = line and not isinstance(error, LookupError | AttributeError | AssertionError)
    return line if tells else f"{type(error).__name__}: {line}".removesuffix(": ")
