"""What a sample is expected to cost, so that ranks get even work.

The unit is one prefilled token of the language model. The weights come from counting the work of Qwen2.5-VL-7B on an
H100: about 15 GFLOP a prefilled token; about 7 TFLOP of vision tower for a 1008x1008 picture of 1,296 tokens, a third
of a prefilled token each; and a decoded token, bound by memory, worth about two.
"""

import warnings
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from MetaCaptioner.domains import Modality
from MetaCaptioner.media import IMAGE_FORMATS, MediaBudget
from MetaCaptioner.metafile import Sample
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
    """Collects the samples of a dataset in order, then gives their costs.

    Sizes come from the row; where it has none, from the picture's header. In a large dataset without sizes every n-th
    header is read and their mean stands for the others.
    """

    def __init__(self, prompts: Prompts, budget: MediaBudget) -> None:
        self._budget = budget
        self._by_task = {name: _workflow_cost(workflow) for name, workflow in prompts.workflows.items()}
        image_domains = [domain.name for domain in prompts.domains if domain.modality == "image"]
        routing = _prompt_tokens(prompts.router.prompt) * PREFILL
        self._unrouted = routing + sum(self._by_task[name] for name in image_domains) / len(image_domains)
        self._media = array("f")
        self._text = array("f")
        self._unknown = array("q")
        self._headers: list[tuple[int, Sample]] = []
        self._stride = 1

    def add(self, sample: Sample) -> None:
        """Note the next sample of the dataset."""
        media = text = 0.0
        if sample.problem is None:
            text = self._by_task[sample.task] if sample.task else self._unrouted
            media = self._media_cost(sample.modality, sample.width, sample.height)
            if media == 0.0:
                self._note_unknown(len(self._media), sample)
        self._media.append(media)
        self._text.append(text)

    def _note_unknown(self, place: int, sample: Sample) -> None:
        if len(self._unknown) % self._stride == 0:
            self._headers.append((place, sample))
            if len(self._headers) > 2 * _HEADER_READS:
                self._headers = self._headers[::2]
                self._stride *= 2
        self._unknown.append(place)

    def costs(self) -> NDArray[np.float32]:
        """The estimate of every sample added, in order; at least 1 each, since a bad row takes time too."""
        media = np.array(self._media, dtype=np.float32)
        if self._headers:
            read = {place: self._from_header(sample) for place, sample in self._headers}
            media[np.array(self._unknown)] = sum(read.values()) / len(read)
            media[list(read)] = list(read.values())
        return np.maximum(media + np.array(self._text, dtype=np.float32), 1.0)

    def _media_cost(self, modality: Modality, width: int | None, height: int | None) -> float:
        per_token = PREFILL + VISION
        square = self._budget.pixel_multiple**2
        if modality == "video":  # the length is not known without opening it: a full clip is assumed
            return media_tokens(self._budget, modality) * per_token
        if not width or not height or width < 0 or height < 0:
            return 0.0
        pixels = min(max(width * height, self._budget.min_pixels), self._budget.max_pixels)
        return pixels / square * per_token

    def _from_header(self, sample: Sample) -> float:
        """The cost by the picture's own size; 0 where it cannot be read, which the caption stage will report."""
        try:
            with (
                warnings.catch_warnings(action="ignore"),
                Image.open(sample.media_path, formats=IMAGE_FORMATS) as image,
            ):
                return self._media_cost("image", *image.size)
        except (OSError, ValueError, SyntaxError, RuntimeError):
            return 0.0


def resident_tokens(prompts: Prompts, budget: MediaBudget) -> float:
    """Tokens that a sample has in the engine at a time, at its fullest and over all domains on average.

    Its media once; with them all that the agents of the first round read and write, or what one of the later ones does.
    Of an answer that is being written half is there, on average.
    """
    fullest = [
        media_tokens(budget, domain.modality) + _fullest_round(prompts.workflows[domain.name])
        for domain in prompts.domains
    ]
    return sum(fullest) / len(fullest)


def _fullest_round(workflow: Workflow) -> float:
    answer = {agent.name: agent.sampling.max_tokens * _SPENT_SHARE for agent in workflow.agents}
    own = {
        agent.name: _prompt_tokens(agent.prompt) + _sum_of(answer, agent.requires) + answer[agent.name] / 2
        for agent in workflow.agents
    }
    first = sum(own[agent.name] for agent in workflow.agents if not agent.requires)
    return max(first, *(own[agent.name] for agent in workflow.agents))


def media_tokens(budget: MediaBudget, modality: Modality) -> float:
    """Visual tokens of the largest picture or clip within the budget."""
    square = budget.pixel_multiple**2
    if modality == "image":
        return budget.max_pixels / square
    return budget.video_frames / _FRAMES_PER_TOKEN_GROUP * budget.video_pixels / square


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
