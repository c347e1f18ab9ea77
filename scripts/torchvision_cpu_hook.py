"""Lets `import torchvision` succeed where torch is built for the CPU and torchvision for CUDA.

The compiled operators of such a torchvision do not load. Its image transforms, which are plain torch, need
none of them, but the import stops all the same, because it registers further kernels for two operators that
nobody has defined. Defining the two schemas just before the import is enough.

`cpu_stack.py` copies this module into site-packages beside a `.pth` file that calls `install` at the start of
every interpreter. So it must start fast: it imports only what an interpreter has loaded anyway, and torch not
until somebody imports torchvision.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_libraries: list[object] = []  # a schema lives only as long as the library that defined it


def install() -> None:
    """Put the finder in front of the interpreter's own."""
    if not any(isinstance(finder, TorchvisionFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, TorchvisionFinder())


def operators_load(package: str) -> bool:
    """Whether the compiled operators of the torchvision in the folder `package` load beside this torch."""
    import torch

    spec = FileFinder(package, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
    if spec is None or spec.origin is None:
        return False
    try:
        torch.ops.load_library(spec.origin)
    except OSError:
        return False
    return True


def define_missing_schemas(package: str) -> None:
    """Define what the compiled operators would have defined, unless they load or torch is not there."""
    try:
        import torch
    except ImportError:
        return
    if operators_load(package):
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    _libraries.append(library)


class TorchvisionLoader(SourceFileLoader):
    """Loads torchvision once the schemas are there."""

    def exec_module(self, module: ModuleType) -> None:
        """Define the missing schemas, then run torchvision's own code."""
        define_missing_schemas(os.path.dirname(self.path))
        super().exec_module(module)


class TorchvisionFinder:
    """Finds torchvision where the interpreter would and changes only its loader, so that looking is cheap."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Answer for torchvision itself; leave every other module to the next finder."""
        if fullname != "torchvision":
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = TorchvisionLoader(spec.loader.name, spec.loader.path)
        return spec
