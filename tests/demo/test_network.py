"""The forward pass for training is Qwen2.5-VL's own, as transformers runs it on one sample at a time."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demo.architecture import TOKEN_IDS, Shape, new_model, save_model, train_tokenizer
from demo.batches import FRAME_SIDE, FRAMES, LENGTHS, MEDIA_TOKENS, PICTURE_SIDE, Batch, Encoder
from demo.drills import CELLS
from demo.network import CLIP_GRID, IGNORED, PICTURE_GRID, Network, exact, to_inputs
from demo.tasks import Example
from MetaCaptioner.engine.base import SYSTEM_MESSAGE

SHAPE = Shape(hidden=128, intermediate=128, layers=2, vision_hidden=64, vision_intermediate=64, vision_depth=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(["What do you see? A red ball.", SYSTEM_MESSAGE] * 3, folder, 400)
    save_model(new_model(SHAPE, len(tokenizer), seed=1), folder)
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture
def media() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, PICTURE_SIDE, PICTURE_SIDE, 3), dtype=np.uint8)
    return pictures, rng.integers(0, 256, (1, FRAMES, FRAME_SIDE, FRAME_SIDE, 3), dtype=np.uint8)


def processed(folder: Path, text: str, picture: Any = None, clip: Any = None) -> Any:
    from transformers import AutoTokenizer, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor.from_pretrained(folder),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        video_processor=Qwen2VLVideoProcessor.from_pretrained(folder),
        chat_template=AutoTokenizer.from_pretrained(folder).chat_template,
    )
    content: list[dict[str, str]] = [{"type": "text", "text": text}]
    if picture is not None:
        content.insert(0, {"type": "image"})
    if clip is not None:
        content.insert(0, {"type": "video"})
    messages = [{"role": "system", "content": SYSTEM_MESSAGE}, {"role": "user", "content": content}]
    prompt = processor.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return processor(
        text=[prompt],
        images=None if picture is None else [picture],
        videos=None if clip is None else [clip],
        videos_kwargs={"do_sample_frames": False, "do_resize": False, "fps": 2.0},
        return_tensors="pt",
    )


def clip_positions(start: int, length: int) -> torch.Tensor:
    """vLLM's rule, shape (3, 1, length): a pair of frames is a second and two steps; text goes on after the highest.

    transformers 5.19 goes on after the frame's size, which is another rule where a clip is longer than wide.
    """
    frames = [torch.tensor([[2 * t, y, x] for t in range(4) for y in range(4) for x in range(4)]).T + start]
    after = int(frames[0].max()) + 1
    rest = length - start - MEDIA_TOKENS
    text = [torch.arange(start).expand(3, -1), *frames, torch.arange(after, after + rest).expand(3, -1)]
    return torch.cat(text, dim=1)[:, None]


@torch.no_grad()
@pytest.mark.parametrize("kind", ["picture", "clip", "text"])
def test_the_logits_are_those_of_transformers(folder: Path, model: Any, media: tuple[Any, Any], kind: str) -> None:
    pictures, clips = media
    encoder = Encoder(folder)
    example = Example("notes", "What do you see?", "A red ball.", kind != "text")
    at = {"picture": 1, "clip": 2, "text": 0}[kind]
    rows = encoder.rows([(at, example)], 2, LENGTHS["notes"])
    inputs = processed(
        folder, example.instruction, pictures[1] if kind == "picture" else None, clips[0] if kind == "clip" else None
    )
    answer = encoder.answer(example.answer)
    prompt = inputs["input_ids"][0].tolist()
    expected_prompt = [*encoder.head]
    if kind != "text":
        pad = TOKEN_IDS["<|image_pad|>" if kind == "picture" else "<|video_pad|>"]
        start, end = TOKEN_IDS["<|vision_start|>"], TOKEN_IDS["<|vision_end|>"]
        expected_prompt += [start, *[pad] * MEDIA_TOKENS, end]
    assert prompt == [*expected_prompt, *encoder.question(example.instruction)]

    whole, extra = dict(inputs), torch.tensor([answer])
    whole["input_ids"] = torch.cat([inputs["input_ids"], extra], dim=1)
    whole["attention_mask"] = torch.ones_like(whole["input_ids"])
    if "mm_token_type_ids" in whole:
        whole["mm_token_type_ids"] = torch.cat([whole["mm_token_type_ids"], torch.zeros_like(extra)], dim=1)
    if kind == "clip":
        whole["position_ids"] = clip_positions(len(encoder.head) + 1, whole["input_ids"].shape[1])
    reference = model(**whole).logits[0, len(prompt) - 1 : -1]

    task = "summary" if kind == "text" else "notes"
    network = Network(deepcopy(model), encoder.head, "cpu")
    inputs = to_inputs(
        Batch(pictures, clips, np.zeros((0, MEDIA_TOKENS, CELLS), np.int64), ("a", "b", "c"), {task: rows})
    )
    logits, labels = network.logits(inputs, [task])[task][0], inputs[f"{task}/labels"][0]
    assert labels[labels != IGNORED].tolist() == answer
    torch.testing.assert_close(logits[labels != IGNORED], reference, rtol=1e-3, atol=1e-4)
    assert exact(logits[None], torch.where(labels == IGNORED, IGNORED, logits.argmax(-1))[None]).tolist() == [True]
    assert exact(logits[None], torch.where(labels == IGNORED, IGNORED, logits.argmin(-1))[None]).tolist() == [False]


def test_the_grids_are_all_of_the_media_tokens() -> None:
    for grid in (PICTURE_GRID, CLIP_GRID):
        assert grid.positions(0).shape == (3, MEDIA_TOKENS)
