"""Lets a torchvision wheel that was built for CUDA be imported with a CPU build of torch.

`script/setup.sh` copies this file into the environment's site-packages beside a `.pth` file that imports it
in every process. The wheel registers CPU kernels for `nms` and a meta function for schemas that only its CUDA
library defines; with the schemas defined first, the import works and the transforms that the processors need run.
Nothing is imported until somebody imports torchvision, so other programs start as fast as before.
"""

import importlib.abc
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_SCHEMAS = ("nms", "qnms")


class _DefineSchemasFirst(importlib.abc.MetaPathFinder):
    """Defines the missing operator schemas when torchvision is first looked for, then steps aside."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for name in _SCHEMAS:
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            self.library = library  # the schemas live as long as this object
            sys.modules[__name__]._library = library  # type: ignore[attr-defined]
        return None


sys.meta_path.insert(0, _DefineSchemasFirst())
