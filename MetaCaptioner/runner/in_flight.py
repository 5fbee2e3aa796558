"""How many samples a rank has in the engine at a time."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from PIL import Image

from MetaCaptioner.agents.prompts import Prompts
from MetaCaptioner.agents.roles import DEFAULT
from MetaCaptioner.agents.workflow import Workflow
from MetaCaptioner.data.taxonomy import Modality
from MetaCaptioner.engine.base import Engine
from MetaCaptioner.engine.by_model import EngineByModel
from MetaCaptioner.media.loader import Media, MediaBudget, fit
from MetaCaptioner.planning import cost

# With more there are more sequences (one and a half a sample) than CUDA graphs reach, and more media in memory.
_UNLIMITED, _MOST = 64, 448
_SHAPES = ((1, 1), (4, 3), (3, 4), (2, 1), (1, 2))
"""Width to height. Models that cut a picture into tiles take the more of them the better some grid fits it."""
_UNLIKE = 2.0
"""A model that takes so many times the tokens that the planner counts, or so many times fewer, is told of."""


def samples_that_fit(engine: Engine, prompts: Prompts, budget: MediaBudget, places: Mapping[str, int]) -> int:
    """As many samples as the engine's cache holds, by the most tokens that their media may come to.

    Of an engine that does not say so, as many as are enough for so many `places` that answer, by the name of its model.
    Of several engines, as many as all of them take, each of those that ask it.
    """
    if isinstance(engine, EngineByModel):
        return min(
            _that_fit(part.engine, prompts, budget, places[part.name], engine.names_of(part)) for part in engine.parts
        )
    return _that_fit(engine, prompts, budget, places[DEFAULT], frozenset({DEFAULT}))


def _that_fit(engine: Engine, prompts: Prompts, budget: MediaBudget, places: int, names: Collection[str]) -> int:
    """As many as an engine holds that is asked by agents whose model has one of these names."""
    if engine.cache_tokens is None:
        return min(_UNLIMITED * places, _MOST)
    modalities = {domain.modality for domain in prompts.domains if _looks(prompts.workflows[domain.name], names)}
    largest = {modality: _largest(engine, modality, budget) for modality in modalities}
    tokens = cost.resident_tokens(prompts, budget, largest, lambda agent: agent.model in names)
    return min(max(int(engine.cache_tokens / tokens), 1), _MOST)


def _looks(workflow: Workflow, names: Collection[str]) -> bool:
    asking = [agent for agent in workflow.asked() if agent.model in names]
    return workflow.looks() if len(asking) == len(workflow.asked()) else any(agent.sees_media for agent in asking)


def unlike_planned(engine: Engine, budget: MediaBudget) -> str:
    """What to say of a model that takes far more or fewer tokens for a picture than the planner counts; else empty."""
    taken = engine.media_tokens(_full("image", _SHAPES[0], budget))
    counted = cost.media_tokens(replace(budget, pixel_multiple=MediaBudget.pixel_multiple), "image")
    if not taken or 1 / _UNLIKE <= taken / counted <= _UNLIKE:
        return ""
    return (
        f"this model takes {taken:,} tokens for a large picture, the plan counts {counted:,.0f} for any model: it is "
        "rough, and ranks may be less even than planned"
    )


def _largest(engine: Engine, modality: Modality, budget: MediaBudget) -> float:
    """The most tokens that a picture or clip within the budget comes to: those that the engine makes of it.

    Engines that do not say so are taken to make what Qwen-VL does.
    """
    shapes = _SHAPES if modality == "image" else _SHAPES[:1]
    told = [engine.media_tokens(_full(modality, shape, budget)) for shape in shapes]
    return max((tokens for tokens in told if tokens), default=0) or cost.media_tokens(budget, modality)


def _full(modality: Modality, shape: tuple[int, int], budget: MediaBudget) -> Media:
    """A picture or clip of that shape that uses the whole budget."""
    pixels = budget.max_pixels if modality == "image" else min(budget.video_pixels, budget.max_pixels)
    across, down = shape
    side = (pixels / (across * down)) ** 0.5
    width, height = fit(round(across * side), round(down * side), pixels, budget)
    name = f"{modality}-{width}x{height}-{budget.video_frames}"
    if modality == "image":
        return Media("image", Image.new("RGB", (width, height)), name, name, width, height)
    frames = np.zeros((budget.video_frames // 2 * 2, height, width, 3), dtype=np.uint8)
    return Media(
        modality="video",
        data=frames,
        media_id=name,
        content_hash=name,
        width=width,
        height=height,
        duration=len(frames) / budget.video_fps,
        source_fps=budget.video_fps,
        source_frames=len(frames),
        frame_indices=tuple(range(len(frames))),
        frame_times=tuple(number / budget.video_fps for number in range(len(frames))),
    )
