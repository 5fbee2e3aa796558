"""The turns of an annotation row that asks for a caption and has it as the answer."""

import re

from MetaCaptioner.data.taxonomy import Modality

INSTRUCTION = "Describe this in detail."

# LLaMA-Factory, LLaVA and ms-swift count the first five in all turns; the rest begin turns or stand for media in the
# vocabularies of models (Gemma, InternVL; `<|…|>` in most others) and are taken for that wherever they are written.
_SPECIAL = re.compile(
    r"<(?=(?:image|video|audio|bbox|ref-object|IMG_CONTEXT|image_soft_token|start_of_image|start_of_turn|end_of_turn)>)"
    r"|<(?=[|\uff5c][^<>|\uff5c\n]{1,60}[|\uff5c]>)"
    r"|\{(?=\{(?:image|video|audio)\}\})"
)


def turns(modality: Modality, instruction: str, caption: str) -> list[dict[str, str]]:
    """The human turn with the place of the media, and the gpt turn with the caption."""
    return [{"from": "human", "value": f"<{modality}>\n{instruction}"}, {"from": "gpt", "value": caption}]


def as_plain_text(text: str) -> str:
    """The text with a space in what trainers and tokenizers take for more than text, such as `<image>`: `< image>`.

    Markup with a meaning of its own, such as `<img>` or `<s>`, stays as it is.
    """
    return _SPECIAL.sub(lambda found: f"{found[0]} ", text)
