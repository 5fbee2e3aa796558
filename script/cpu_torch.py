"""Lets vLLM be imported where torch is a CPU build and the packages around it were built for CUDA.

That is what pip finds where an index has CPU builds of torch alone. The package's wheel (see `build_backend.py`) has this
file beside a `.pth` file that imports it in every process of the environment. Nothing else is imported until somebody
imports vLLM, transformers or torchvision, so other programs start as fast as before; and nothing is done with what loads.
"""

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_ASK_WHAT_IS_THERE = ("vllm", "transformers")
_NEEDED_BY_NOTHING_HERE = ("torchaudio", "torchcodec")
_NEEDS_SCHEMAS = "torchvision._meta_registrations"
_SCHEMAS = ("nms", "qnms")


class _Guard(importlib.abc.MetaPathFinder):
    """Finds nothing itself: it acts when others are about to be imported."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._schemas: object = None
        """They live as long as this does."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _ASK_WHAT_IS_THERE and fullname not in self._seen:
            self._seen.add(fullname)
            _hide_what_does_not_load()
        elif fullname == _NEEDS_SCHEMAS:
            self._schemas = _define_schemas()
        return None


def _hide_what_does_not_load() -> None:
    """vLLM's metadata names packages for sound and clips; transformers imports what is installed, and falls over it.

    Source: Python's reference, "The import system": where `sys.modules` has None, there is no such module.
    """
    there = [name for name in _NEEDED_BY_NOTHING_HERE if name not in sys.modules and importlib.util.find_spec(name)]
    if not there:
        return
    import torch

    if torch.version.cuda or torch.version.hip:
        return
    for name in there:
        try:
            importlib.import_module(name)
        except (ImportError, OSError, RuntimeError):
            sys.modules[name] = None  # type: ignore[assignment]


def _define_schemas() -> object:
    """Define the operators whose meta functions torchvision registers, where its library, which does so, is not loaded."""
    if importlib.import_module("torchvision.extension")._has_ops():
        return None
    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _SCHEMAS:
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


sys.meta_path.insert(0, _Guard())
