"""Muon for the matrices inside the layers, AdamW for all else, in operations that a CUDA graph can record.

torch.optim.Muon takes one matrix after another, and a number as its learning rate. A small model has many small
matrices, and the rate changes while a recorded step does not: here those of one shape go together, and the rate is a
tensor.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
_OUTER = {"embed_tokens", "lm_head"}
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices of (n, rows, columns), roughly: singular values between 0.7 and 1.2.

    Source: K. Jordan et al., Muon: an optimizer for hidden layers, 2024 (five Newton-Schulz steps in bfloat16).
    """
    a, b, c = _NEWTON_SCHULZ
    wide = matrices.shape[1] <= matrices.shape[2]
    x = (matrices if wide else matrices.mT).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).to(matrices.dtype)


class Optimizer:
    """Steps all parameters of a model and of further `heads` by their gradients. `rate` may be changed at any time."""

    def __init__(self, model: Any, heads: Iterable[Tensor], weight_decay: float, device: str) -> None:
        named = [item for item in model.named_parameters() if item[1].requires_grad]
        inner = [parameter for name, parameter in named if parameter.ndim == 2 and not _OUTER & set(name.split("."))]
        chosen = {id(parameter) for parameter in inner}
        self.rate = torch.zeros((), device=device)
        self._decay = weight_decay
        shapes: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in inner:
            shapes[tuple(parameter.shape)].append(parameter)
        self._groups = list(shapes.values())
        self._momenta = [torch.zeros(len(group), *group[0].shape, device=device) for group in self._groups]
        others = [*heads, *(parameter for _, parameter in named if id(parameter) not in chosen)]
        self._adam = torch.optim.AdamW(
            others, lr=self.rate, betas=(0.9, 0.98), weight_decay=weight_decay, capturable=device == "cuda"
        )

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """One step. The matrices move by 0.2 sqrt(larger side) as J. Liu et al., Muon is scalable, 2025, have it."""
        self._adam.step()
        for group, momentum in zip(self._groups, self._momenta, strict=True):
            gradients = torch.stack([parameter.grad for parameter in group if parameter.grad is not None])
            momentum.lerp_(gradients, 1 - MOMENTUM)
            direction = orthogonalize(gradients.lerp(momentum, MOMENTUM))
            moves = direction * (self.rate * 0.2 * max(group[0].shape) ** 0.5)
            torch._foreach_mul_(group, 1 - self.rate * self._decay)
            torch._foreach_sub_(group, list(moves.unbind()))
