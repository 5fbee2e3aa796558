"""The forward pass for training: whole batches of equally sized media through Qwen2.5-VL's own layers.

transformers runs the vision attention of each window apart, in a Python loop; with equal windows it is one operation.
All shapes are constant and nothing waits for the device, so that a step can be recorded as a CUDA graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VLVisionAttention,
    apply_rotary_pos_emb_vision,
)

from demo.architecture import HEAD_DIM, IMAGE_MEAN, IMAGE_STD, MERGE, PATCH, TOKEN_IDS
from demo.batches import FRAME_SIDE, FRAMES, LENGTHS, MEDIA_TOKENS, PICTURE_SIDE, Batch
from demo.drills import CELLS, LETTERS

WINDOW = 8
"""Patches of a window's side: 112 pixels."""

IGNORED = -100
"""The label of a token that is no part of an answer."""

Inputs = dict[str, Tensor]
"""A batch on the device: pictures, clips, `letters/labels`, and for each task `<task>/tokens`, `/labels`, `/media`."""


@dataclass(frozen=True)
class Grid:
    """Patches of a medium: temporal, down, across; `step` is the temporal distance of its positions."""

    times: int
    height: int
    width: int
    step: int = 1

    def positions(self, start: int) -> Tensor:
        """Temporal, vertical and horizontal position of every token, shape (3, tokens). Source: Qwen2-VL's M-RoPE."""
        axes = (torch.arange(self.times) * self.step, *map(torch.arange, (self.height // MERGE, self.width // MERGE)))
        return torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1) + start

    def windows(self) -> Tensor:
        """The tokens, window by window."""
        side = WINDOW // MERGE
        down, across = self.height // MERGE, self.width // MERGE
        order = torch.arange(self.times * down * across)
        return order.view(self.times, down // side, side, across // side, side).transpose(2, 3).flatten()

    def rotations(self) -> Tensor:
        """The angles of all patches, window by window, shape (tokens, patches of a token, HEAD_DIM)."""
        down, across = torch.meshgrid(torch.arange(self.height), torch.arange(self.width), indexing="ij")
        places = torch.stack([down, across]).view(2, self.height // MERGE, MERGE, self.width // MERGE, MERGE)
        places = places.transpose(2, 3).flatten(1).repeat(1, self.times)
        frequencies = 10000.0 ** (-torch.arange(0, HEAD_DIM // 2, 2) / (HEAD_DIM // 2))
        angles = (places[..., None] * frequencies).transpose(0, 1).flatten(1)
        return torch.cat([angles, angles], dim=1).view(-1, MERGE * MERGE, HEAD_DIM)[self.windows()]


PICTURE_GRID = Grid(1, PICTURE_SIDE // PATCH, PICTURE_SIDE // PATCH)
CLIP_GRID = Grid(FRAMES // 2, FRAME_SIDE // PATCH, FRAME_SIDE // PATCH, step=2)  # a pair of frames is a second


class EqualChunks(Qwen2_5_VLVisionAttention):  # type: ignore[misc]
    """The attention of a vision block over chunks of equal length, which `cu_seqlens` gives as one number."""

    def forward(
        self, hidden_states: Tensor, cu_seqlens: int, position_embeddings: tuple[Tensor, Tensor], **_: object
    ) -> Tensor:
        query, key, value = self.qkv(hidden_states).reshape(-1, 3, self.num_heads, self.head_dim).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *position_embeddings)
        shape = (-1, cu_seqlens, self.num_heads, self.head_dim)
        chunks = [part.reshape(shape).transpose(1, 2) for part in (query, key, value)]
        seen = F.scaled_dot_product_attention(*chunks).transpose(1, 2)
        return self.proj(seen.reshape(hidden_states.shape))


def to_patches(frames: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Frames (n, f, h, w, 3) of 0..255 -> normalized patches (n, f/2 * h/14 * w/14, 1176), in the processor's order."""
    number, count, height, width, _ = frames.shape
    scaled = (frames.float() / 255 - mean) / std
    down, across = height // (PATCH * MERGE), width // (PATCH * MERGE)
    cut = scaled.view(number, count // 2, 2, down, MERGE, PATCH, across, MERGE, PATCH, 3)
    return cut.permute(0, 1, 3, 6, 4, 7, 9, 2, 5, 8).reshape(number, -1, 3 * 2 * PATCH * PATCH)


def to_inputs(batch: Batch) -> Inputs:
    """A batch as tensors, on the host."""
    inputs = {"pictures": torch.from_numpy(batch.pictures), "clips": torch.from_numpy(batch.clips)}
    inputs["letters/labels"] = torch.from_numpy(batch.cells)
    for task, rows in batch.rows.items():
        tokens = torch.from_numpy(rows.tokens)
        at = torch.arange(tokens.shape[1])
        begins, ends = (torch.from_numpy(part)[:, None] for part in (rows.begins, rows.ends))
        inputs[f"{task}/tokens"] = tokens
        inputs[f"{task}/labels"] = torch.where((at >= begins) & (at < ends), tokens, IGNORED)
        inputs[f"{task}/media"] = torch.from_numpy(rows.media)
    return inputs


class Network:
    """A Qwen2.5-VL that is trained on batches of pictures, clips and questions.

    `head` are the tokens before the media (or before the question, where there is none). `reader` tells the letters
    in a visual token; it is for training only.
    """

    def __init__(self, model: Any, head: list[int], device: str) -> None:
        self.model = model.to(device)
        self.device = device
        classes = CELLS * (len(LETTERS) + 1)
        self.reader = torch.nn.Linear(model.config.vision_config.out_hidden_size, classes).to(device)
        self._visual, self._text = model.model.visual, model.model.language_model
        for block in self._visual.blocks:
            block.attn.__class__ = EqualChunks
        self._mean, self._std = torch.tensor(IMAGE_MEAN, device=device), torch.tensor(IMAGE_STD, device=device)
        self._head = torch.tensor(head, device=device)
        self._brackets = torch.tensor([TOKEN_IDS["<|vision_start|>"], TOKEN_IDS["<|vision_end|>"]], device=device)
        self._angles = {grid: grid.rotations().to(device) for grid in (PICTURE_GRID, CLIP_GRID)}
        self._order = {grid: grid.windows().to(device) for grid in (PICTURE_GRID, CLIP_GRID)}
        self._places = {length: self._positions(length).to(device) for length in LENGTHS.values()}

    def logits(self, inputs: Inputs, tasks: list[str], noise: float = 0.0) -> dict[str, Tensor]:
        """For each task the logits that predict its tokens, shape (rows, LENGTHS[task], vocabulary).

        Beside them "letters": what is in the cells of the pages, shape (pages, MEDIA_TOKENS, CELLS, letters + 1).
        """
        pictures = inputs["pictures"][:, None].expand(-1, 2, -1, -1, -1)
        seen = torch.cat(
            [self.see(pictures, PICTURE_GRID, noise), self.see(inputs["clips"], CLIP_GRID, noise)],
        )
        clips_from, pages_from = len(pictures), len(pictures) - len(inputs["letters/labels"])
        read = self.reader(seen[pages_from:clips_from])
        found = {"letters": read.view(*inputs["letters/labels"].shape, len(LETTERS) + 1)}
        for task in tasks:
            tokens, media = inputs[f"{task}/tokens"], inputs[f"{task}/media"]
            blind = task == "summary"
            found[task] = self._answer(tokens, None if blind else seen[media], media >= clips_from)
        return found

    def see(self, frames: Tensor, grid: Grid, noise: float = 0.0) -> Tensor:
        """Frames (n, f, h, w, 3) of 8 bit -> tokens (n, MEDIA_TOKENS, hidden)."""
        visual = self._visual
        patches = to_patches(frames, self._mean, self._std)
        if noise:
            patches = patches * (1 + noise * torch.randn(len(patches), 1, 1, device=self.device))
            patches = patches + noise * torch.randn_like(patches)
        hidden = F.linear(patches.flatten(0, 1), visual.patch_embed.proj.weight.flatten(1))
        order, angles = self._order[grid], self._angles[grid].flatten(0, 1).repeat(len(frames), 1)
        hidden = hidden.view(len(frames), MEDIA_TOKENS, MERGE * MERGE, -1)[:, order].flatten(0, 2)
        whole = grid.height * grid.width
        for number, block in enumerate(visual.blocks):
            chunk = whole if number in visual.fullatt_block_indexes else WINDOW * WINDOW
            hidden = block(hidden, cu_seqlens=chunk, position_embeddings=(angles.cos(), angles.sin()))
        merged = visual.merger(hidden).view(len(frames), MEDIA_TOKENS, -1)
        return merged[:, order.argsort()]

    def _answer(self, tokens: Tensor, seen: Tensor | None, is_clip: Tensor) -> Tensor:
        """Logits for `tokens` (rows, length) after the head and what is seen (rows, MEDIA_TOKENS, hidden)."""
        embed = self._text.embed_tokens
        count, length = tokens.shape
        before = [embed(self._head).expand(count, -1, -1)]
        kind = torch.full_like(is_clip, 2, dtype=torch.long) if seen is None else is_clip.long()
        if seen is not None:
            start, end = embed(self._brackets).expand(count, -1, -1).split(1, dim=1)
            before += [start, seen.to(start.dtype), end]
        offset = sum(part.shape[1] for part in before)
        states = self._text(
            inputs_embeds=torch.cat([*before, embed(tokens)], dim=1),
            position_ids=self._places[length][kind].transpose(0, 1)[..., : offset + length],
            use_cache=False,
        ).last_hidden_state
        return self.model.lm_head(states[:, offset - 1 : -1])

    def _positions(self, length: int) -> Tensor:
        """Positions of head, medium and `length` tokens for a picture, a clip and no medium, shape (3, 3, all)."""
        head = torch.arange(len(self._head) + 1).expand(3, -1)
        start, rest = head.shape[1], torch.arange(length + 1)
        rows = [
            torch.cat([head, grid.positions(start), rest.expand(3, -1) + int(grid.positions(start).max()) + 1], dim=1)
            for grid in (PICTURE_GRID, CLIP_GRID)
        ]
        return torch.stack([*rows, torch.arange(rows[0].shape[1]).expand(3, -1)])


def losses(logits: Mapping[str, Tensor], inputs: Inputs) -> dict[str, Tensor]:
    """The mean cross-entropy of the answer tokens of each task, and of the letters, in nats."""
    found = {
        task: F.cross_entropy(scores.flatten(0, 1).float(), inputs[f"{task}/labels"].flatten(), ignore_index=IGNORED)
        for task, scores in logits.items()
        if task != "letters"
    }
    cells = inputs["letters/labels"].flatten()
    each = F.cross_entropy(logits["letters"].flatten(0, 2).float(), cells, reduction="none")
    full = (cells > 0).float()
    # nearly all cells are empty: they count as a third of the others together
    found["letters"] = (each * full).sum() / full.sum() + (each * (1 - full)).sum() / (1 - full).sum() / 3
    return found


def exact(logits: Tensor, labels: Tensor) -> Tensor:
    """Which rows have every token of their answer right, each predicted from the right ones before it."""
    return ((logits.argmax(-1) == labels) | (labels == IGNORED)).all(dim=1)
