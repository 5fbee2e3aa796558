"""Drawings of the demo datasets; importing the package registers all of them in `ITEMS`."""

from . import code, infographic, knowledge, medical, natural, structure, synthetic, ui, video
from .registry import ITEMS, Item

__all__ = [
    "ITEMS",
    "Item",
    "code",
    "infographic",
    "knowledge",
    "medical",
    "natural",
    "structure",
    "synthetic",
    "ui",
    "video",
]
