"""Prompts in Mistral's own format, whose tokenizer writes tokens of a conversation and no text."""

from collections.abc import Sequence
from typing import Any, cast

from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import SYSTEM_MESSAGE
from MetaCaptioner.engine.vllm_prompts import PromptWriter, Template
from MetaCaptioner.errors import BadArguments, ErrorKind, SampleError
from MetaCaptioner.media.loader import Media

_ONE, _OTHER = "a", "b"


def has_own_format(tokenizer: Any) -> bool:
    """Whether it is Mistral's own."""
    return hasattr(tokenizer, "mistral")


class MistralPromptWriter(PromptWriter):
    """Writes prompts token by token: what two conversations have in common is around the instruction of any.

    No text becomes one of the tokens that structure a conversation, so nothing has to be defused.
    """

    def text(self, instruction: str, modality: Modality | None, is_held: bool = False) -> str:
        return self.template(modality, is_held).around(instruction)

    def _check_arguments(self) -> None:
        if self._arguments:
            raise BadArguments(f"--chat-template-arg {min(self._arguments)}: a model in Mistral's own form takes none")

    def _made(self, modality: Modality | None, thinks: bool) -> Template:
        if modality is not None and modality not in self._renderer.get_mm_processor().info.allowed_mm_limits:
            raise SampleError(ErrorKind.UNSUPPORTED_MEDIA, f"{self.model} takes no {modality}")
        prefix, suffix = self._around()
        mark = "" if modality is None else self._tokenizer.decode([self._image_processor().image_token_id])
        return Template(self._tokenizer.decode(prefix) + mark, self._tokenizer.decode(suffix), None, False)

    def _prompt(self, instruction: str, media: Media | None, is_held: bool) -> dict[str, Any]:
        prefix, suffix = self._around()
        shown = [] if media is None else self._shown(media)
        asked = self._tokenizer.encode(instruction, add_special_tokens=False)
        return {"prompt_token_ids": [*prefix, *shown, *asked, *suffix], **self._media(media)}

    def _around(self) -> tuple[list[int], list[int]]:
        """The tokens before and after the instruction."""
        one, other = self._conversation(_ONE), self._conversation(_OTHER)
        begin = next(place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
        return one[:begin], one[begin + 1 :]

    def _conversation(self, instruction: str) -> list[int]:
        from vllm.renderers.params import ChatParams

        messages = [{"role": "system", "content": SYSTEM_MESSAGE}, {"role": "user", "content": instruction}]
        parameters = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        _, prompt = self._renderer.render_messages(cast(Any, messages), parameters)
        return list(cast(Any, prompt)["prompt_token_ids"])

    def _shown(self, media: Media) -> Sequence[int]:
        """The tokens of a picture, row by row.

        Source: `mistral_common.tokens.tokenizers.image.ImageEncoder`.
        """
        processor = self._image_processor()
        _, rows, columns = processor.image_processor.get_number_of_image_patches(media.height, media.width)
        row = [*[processor.image_token_id] * columns, processor.image_break_id]
        return [*(row * rows)[:-1], processor.image_end_id]

    def _image_processor(self) -> Any:
        return self._renderer.get_mm_processor().info.get_hf_processor()
