"""What a sample is expected to cost, so that ranks get even work.

The unit is one prefilled token of the language model. The weights come from counting the work of Qwen2.5-VL-7B on an
H100: about 15 GFLOP a prefilled token; about 7 TFLOP of vision tower for a 1008x1008 picture of 1,296 tokens, a third
of a prefilled token each; and a decoded token, bound by memory, worth about two.
"""

from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.workflow import Agent, Workflow
from MetaCaptioner.data.media_source import TarPlace, media_source
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.errors import SampleError
from MetaCaptioner.media.loader import MediaBudget
from MetaCaptioner.media.picture import size_by_header

BAD_ROW = ""
"""In place of a domain: a row that ends as a `bad_row` record."""
NO_MEDIA_ROW = "\0"
"""In place of a domain: a row with neither picture nor clip, which costs nothing."""
OUTSIDE_ROW = "\1"
"""In place of a domain: a row that ends as a `media_outside_root` record."""
_FREE = -1.0
Pixels = TypeVar("Pixels", float, NDArray[np.float64])

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

    def __init__(self, prompts: Prompts, budget: MediaBudget, root: Path, allow_outside_root: bool = False) -> None:
        self._budget = budget
        self._allow_outside_root = allow_outside_root
        self._root = root
        # The length of a clip is not known without opening it: a full one is assumed.
        self._clip = self._pixels_cost(budget.video_pixels * budget.video_frames / _FRAMES_PER_TOKEN_GROUP)
        by_domain: dict[str | None, float] = {
            name: _workflow_cost(workflow) for name, workflow in prompts.workflows.items()
        }
        image_domains = [domain.name for domain in prompts.domains if domain.modality == "image"]
        routing = _prompt_tokens(prompts.router.prompt) * PREFILL
        unrouted = routing + sum(by_domain[name] for name in image_domains) / len(image_domains)
        self._text_by_domain = {**by_domain, None: unrouted, BAD_ROW: 0.0, NO_MEDIA_ROW: _FREE, OUTSIDE_ROW: 0.0}
        self._count = 0
        self._media: list[NDArray[np.float32]] = []
        self._text: list[NDArray[np.float32]] = []
        self._unknown = array("q")
        self._headers: list[tuple[int, str, TarPlace | None]] = []
        self._stride = 1

    def add(
        self,
        domains: Sequence[str | None],
        media_names: Sequence[str],
        are_videos: Sequence[bool],
        pixels: Sequence[float],
        tars: Sequence[TarPlace | None] | None = None,
    ) -> None:
        """Note the next rows of the dataset, an entry for each in every list.

        A domain is its name, None where the router decides, `BAD_ROW` or `NO_MEDIA_ROW`. `pixels` are width times
        height, 0 where that is not known. `tars` say where the media lie that are members of tar files.
        """
        text = np.array([self._text_by_domain[domain] for domain in domains], dtype=np.float32)
        given = np.array(pixels, dtype=np.float64)
        clipped = np.clip(given, self._budget.min_pixels, self._budget.max_pixels)
        media = np.where(given > 0, self._pixels_cost(clipped), 0.0).astype(np.float32)
        media[np.array(are_videos, dtype=np.bool_)] = self._clip
        media[text <= 0] = 0.0
        for place in np.flatnonzero((media == 0) & (text > 0)).tolist():
            self._note_unknown(self._count + place, media_names[place], tars[place] if tars else None)
        self._media.append(media)
        self._text.append(text)
        self._count += len(text)

    def _note_unknown(self, place: int, media_name: str, tar: TarPlace | None) -> None:
        if len(self._unknown) % self._stride == 0:
            self._headers.append((place, media_name, tar))
            if len(self._headers) > 2 * _HEADER_READS:
                self._headers = self._headers[::2]
                self._stride *= 2
        self._unknown.append(place)

    def costs(self) -> NDArray[np.float32]:
        """The estimate of every row added, in order; at least 1, but 0 of rows without media."""
        none = np.zeros(0, dtype=np.float32)
        media, text = np.concatenate([none, *self._media]), np.concatenate([none, *self._text])
        if self._headers:
            read = {place: self._from_header(media_name, tar) for place, media_name, tar in self._headers}
            media[np.array(self._unknown)] = sum(read.values()) / len(read)
            media[list(read)] = list(read.values())
        costs: NDArray[np.float32] = np.where(
            text == _FREE, np.float32(0), np.maximum(media + text, 1.0, dtype=np.float32)
        )
        return costs

    def _pixels_cost(self, pixels: Pixels) -> Pixels:
        return pixels / self._budget.pixel_multiple**2 * (PREFILL + VISION)

    def _from_header(self, media_name: str, tar: TarPlace | None) -> float:
        """The cost by the picture's own size; 0 where it cannot be read, which the caption stage will report."""
        try:
            with media_source(self._root, media_name, tar, self._allow_outside_root).open() as file:
                width, height = size_by_header(file)
        except (OSError, ValueError, SampleError):
            return 0.0
        pixels = width * height
        return self._pixels_cost(float(min(max(pixels, self._budget.min_pixels), self._budget.max_pixels)))


def resident_tokens(
    prompts: Prompts,
    budget: MediaBudget,
    largest: Mapping[Modality, float] = MappingProxyType({}),
    asks: Callable[[Agent], bool] = lambda agent: True,
) -> float:
    """Tokens that a sample has in the engine at a time, at its fullest and over all domains on average.

    `largest` are those of the largest picture and clip, where the engine tells them. `asks` tells which agents ask this
    engine; where none does, as of a judge's own, it is as if all did.

    Its media once, if anybody looks at them; with them all that the agents of the first round read and write, or what
    one of the later ones does. Of an answer that is being written half is there, on average.
    """
    media = {modality: media_tokens(budget, modality) for modality in get_args(Modality)} | dict(largest)
    fullest = []
    for domain in prompts.domains:
        workflow = prompts.workflows[domain.name]
        mine = [agent for agent in workflow.agents if asks(agent)]
        looks = workflow.looks() if len(mine) == len(workflow.agents) else any(agent.sees_media for agent in mine)
        if mine:
            fullest.append(media[domain.modality] * looks + _fullest_round(workflow, mine))
    return sum(fullest) / len(fullest) if fullest else resident_tokens(prompts, budget, largest)


def _fullest_round(workflow: Workflow, asking: Sequence[Agent]) -> float:
    """What the agents `asking` read and write together, or one of them alone, whichever is more."""
    answer = {agent.name: agent.sampling.max_tokens * _SPENT_SHARE for agent in workflow.agents}
    own = {
        agent.name: _prompt_tokens(agent.prompt) + _sum_of(answer, agent.requires) + answer[agent.name] / 2
        for agent in asking
    }
    first = sum(own[agent.name] for agent in asking if not agent.requires)
    return max(first, *own.values())


def media_tokens(budget: MediaBudget, modality: Modality) -> float:
    """Visual tokens of the largest picture or clip within the budget, as Qwen-VL makes them: one a square of pixels.

    Rough for families that scale every picture to one size or cut it into tiles (Gemma 3, InternVL, LLaVA-OneVision).
    """
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
