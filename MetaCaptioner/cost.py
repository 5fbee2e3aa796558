"""What a sample is expected to cost, so that ranks get even work.

The unit is one prefilled token of the language model. The weights come from counting the work of Qwen2.5-VL-7B on an
H100: about 15 GFLOP a prefilled token; about 7 TFLOP of vision tower for a 1008x1008 picture of 1,296 tokens, a third
of a prefilled token each; and a decoded token, bound by memory, worth about two.
"""

import warnings
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.domains import Modality
from MetaCaptioner.media import IMAGE_FORMATS, MediaBudget
from MetaCaptioner.Prompt import Prompts
from MetaCaptioner.workflow import Workflow

PREFILL = 1.0
VISION = 0.35
DECODE = 2.0
_SPENT_SHARE = 0.6  # of an agent's token budget, on average
_TOKENS_PER_CHARACTER = 0.25
_FRAMES_PER_TOKEN_GROUP = 2  # the vision tower merges pairs of frames
_HEADER_READS = 2000  # of more pictures of unknown size than twice this, evenly spread ones stand for the rest


class Estimator:
    """Collects the rows of a dataset in order, then gives their costs.

    Sizes come from the row; where it has none, from the picture's header below `root`. In a large dataset without sizes
    every n-th header is read and their mean stands for the others.
    """

    def __init__(self, prompts: Prompts, budget: MediaBudget, root: Path) -> None:
        self._budget = budget
        self._root = root
        # The length of a clip is not known without opening it: a full one is assumed.
        self._clip = self._pixels_cost(budget.video_pixels * budget.video_frames / _FRAMES_PER_TOKEN_GROUP)
        self._by_task = {name: _workflow_cost(workflow) for name, workflow in prompts.workflows.items()}
        image_domains = [domain.name for domain in prompts.domains if domain.modality == "image"]
        routing = _prompt_tokens(prompts.router.prompt) * PREFILL
        self._unrouted = routing + sum(self._by_task[name] for name in image_domains) / len(image_domains)
        self._media = array("f")
        self._text = array("f")
        self._unknown = array("q")
        self._headers: list[tuple[int, str]] = []
        self._stride = 1

    def add(self, modality: Modality, media_name: str, task: str | None, width: int | None, height: int | None) -> None:
        """Note the next row; `task` is the name of a domain, or None where the router decides."""
        media = self._media_cost(modality, width, height)
        if media == 0.0:
            self._note_unknown(len(self._media), media_name)
        self._media.append(media)
        self._text.append(self._by_task[task] if task else self._unrouted)

    def add_bad(self) -> None:
        """Note the next row, which is a bad one."""
        self._media.append(0.0)
        self._text.append(0.0)

    def _note_unknown(self, place: int, media_name: str) -> None:
        if len(self._unknown) % self._stride == 0:
            self._headers.append((place, media_name))
            if len(self._headers) > 2 * _HEADER_READS:
                self._headers = self._headers[::2]
                self._stride *= 2
        self._unknown.append(place)

    def costs(self) -> NDArray[np.float32]:
        """The estimate of every row added, in order; at least 1 each, since a bad row takes time too."""
        media = np.array(self._media, dtype=np.float32)
        if self._headers:
            read = {place: self._from_header(media_name) for place, media_name in self._headers}
            media[np.array(self._unknown)] = sum(read.values()) / len(read)
            media[list(read)] = list(read.values())
        return np.maximum(media + np.array(self._text, dtype=np.float32), 1.0)

    def _media_cost(self, modality: Modality, width: int | None, height: int | None) -> float:
        """The cost of a picture or clip; 0 where the size is not known."""
        if modality == "video":
            return self._clip
        if not width or not height or width < 0 or height < 0:
            return 0.0
        return self._pixels_cost(min(max(width * height, self._budget.min_pixels), self._budget.max_pixels))

    def _pixels_cost(self, pixels: float) -> float:
        return pixels / self._budget.pixel_multiple**2 * (PREFILL + VISION)

    def _from_header(self, media_name: str) -> float:
        """The cost by the picture's own size; 0 where it cannot be read, which the caption stage will report."""
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(self._root / media_name, formats=IMAGE_FORMATS) as image,
            ):
                return self._media_cost("image", *image.size)
        except (OSError, ValueError, SyntaxError, RuntimeError):
            return 0.0


def _prompt_tokens(prompt: str) -> float:
    return len(prompt) * _TOKENS_PER_CHARACTER


def _workflow_cost(workflow: Workflow) -> float:
    """Prompts, the findings handed on between agents, and what the agents write; without the media."""
    answer = {agent.name: agent.sampling.max_tokens * _SPENT_SHARE for agent in workflow.agents}
    prefilled = sum(_prompt_tokens(agent.prompt) for agent in workflow.agents)
    handed_on = sum(_sum_of(answer, agent.requires) for agent in workflow.agents)
    return PREFILL * (prefilled + handed_on) + DECODE * sum(answer.values())


def _sum_of(answer: dict[str, float], names: Sequence[str]) -> float:
    return sum(answer[name] for name in names)
