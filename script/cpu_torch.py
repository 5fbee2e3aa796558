"""Lets vLLM be imported where torch is a CPU build and the packages around it were built for CUDA.

That is what pip finds where an index has CPU builds of torch alone. The package's wheel (see `build_backend.py`) has
this file beside a `.pth` file that imports it in every process of the environment. So it imports nothing itself, and
acts only once somebody imports vLLM, transformers or torchvision. Nothing is done about what loads as it is.
"""

import sys

_ASK_WHAT_IS_THERE = ("vllm", "transformers")
_NEEDED_BY_NOTHING_HERE = ("torchaudio", "torchcodec")
_NEEDS_SCHEMAS = "torchvision._meta_registrations"
_SCHEMAS = ("nms", "qnms")


class _Guard:
    """A finder that finds nothing itself: it acts when others are about to be imported."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._schemas: object = None
        """They live as long as this does."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname in _ASK_WHAT_IS_THERE and fullname not in self._seen:
            self._seen.add(fullname)
            _hide_what_does_not_load()
        elif fullname == _NEEDS_SCHEMAS:
            self._schemas = _define_schemas()


def _hide_what_does_not_load() -> None:
    """vLLM's metadata names packages for sound and clips; transformers imports what is installed, and falls over it.

    Source: Python's reference, "The import system": where `sys.modules` has None, there is no such module.
    """
    import importlib.util

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
    """Define the operators whose meta functions torchvision registers, where its library does not load."""
    import torch
    from torchvision import extension

    if extension._has_ops():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _SCHEMAS:
        if hasattr(torch.ops.torchvision, name):  # by what an earlier version has left in the environment
            continue
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


sys.meta_path.insert(0, _Guard())
