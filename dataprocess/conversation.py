"""The turns of an annotation row that asks for a caption and has it as the answer."""

from MetaCaptioner.domains import Modality

INSTRUCTION = "Describe this in detail."


def turns(modality: Modality, instruction: str, caption: str) -> list[dict[str, str]]:
    """The human turn with the place of the media, and the gpt turn with the caption."""
    return [{"from": "human", "value": f"<{modality}>\n{instruction}"}, {"from": "gpt", "value": caption}]
