"""What is measured, in which order, and how long each takes on one H100.

An item's module is imported when its turn comes, so that a missing package fails that item alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks.gpu.results import ItemResult
from benchmarks.gpu.run import Item, UnavailableError

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

# In miniature an item takes a few seconds; a busy machine may need several times as long.
MINIATURE_S = 20.0


def _function(module: str, name: str) -> Callable[[Bench, ItemResult], None]:
    def measure(bench: Bench, result: ItemResult) -> None:
        getattr(import_module(f"benchmarks.gpu.{module}"), name)(bench, result)

    return measure


def _no_graphs(_: Bench, __: ItemResult) -> None:
    raise UnavailableError("this version has neither CUDA graphs nor fused kernels")


ITEMS: tuple[Item[Bench], ...] = (
    Item("machine", "imports, the card, and its ceilings", 35, _function("machine", "measure")),
    Item("tests", "the tests that need a card, in their own process", 80, _function("tests", "measure")),
    Item("accuracy", "one layer and four steps in bf16 against fp32", 15, _function("accuracy", "measure")),
    Item("t2i", "an image of 480p: cold, a new text length, whole runs", 25, _function("denoising", "image")),
    Item("attention", "attention kernels at four shapes", 20, _function("attention", "measure")),
    Item("products", "matrix products, fused or apart, bf16 and FP8", 12, _function("products", "measure")),
    Item("256p", "steps of a 189-frame video at 256p", 15, _function("denoising", "video")),
    Item("480p", "steps of a 189-frame video at 480p", 20, _function("denoising", "video")),
    Item("720p", "steps of a 189-frame video at 720p", 40, _function("denoising", "video")),
    Item("decoder", "the video decoder, contiguous and channels last", 30, _function("decoder", "measure")),
    Item("graphs", "CUDA graphs and fused kernels against eager", 0, _no_graphs),
)


def items_of(miniature: bool) -> list[Item[Bench]]:
    """The items with the estimates for this size."""
    return [replace(item, estimate_s=MINIATURE_S) if miniature else item for item in ITEMS]
