"""What all items share: the size, the device, and the models, each made when an item first needs it.

Our stages and diffusers are imported where they are used: without a package that they need, kernels can be measured.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.gpu.deadline import Clock
from benchmarks.gpu.results import Report
from benchmarks.gpu.sizes import Size
from benchmarks.gpu.weights import Tensors, draw_on
from cosmos3_core.model.names import published_shapes
from cosmos3_core.planning.cost import CostModel
from cosmos3_core.planning.hardware import Hardware, recognise
from cosmos3_core.tiny.weights import TRANSFORMER_RULES

if TYPE_CHECKING:
    from benchmarks.gpu.peer import Peer
    from cosmos3_core.model.understanding import UnderstandingTower
    from cosmos3_core.stages.denoiser import Denoiser
    from cosmos3_core.stages.understanding import TextKeyValues

REPOSITORY = Path(__file__).resolve().parents[2]
Prompts = Sequence[Sequence[int]]


@dataclass
class Bench:
    """The context of every item.

    Attributes:
        size: what is measured.
        device: where.
        clock: the time that is left.
        report: takes the results.
    """

    size: Size
    device: torch.device
    clock: Clock
    report: Report

    @property
    def cuda(self) -> bool:
        """Whether the device is a card."""
        return self.device.type == "cuda"

    @cached_property
    def hardware(self) -> Hardware:
        """What the cost model knows about the device."""
        return recognise(torch.cuda.get_device_name(self.device) if self.cuda else None)

    @cached_property
    def cost(self) -> CostModel:
        """The cost model, without any observation."""
        return CostModel(self.size.config, self.hardware, batch_guidance=True)

    @cached_property
    def tensors(self) -> Tensors:
        """The weights of both towers, in bf16."""
        return draw_on(self.device, published_shapes(self.size.config), TRANSFORMER_RULES, torch.bfloat16)

    @cached_property
    def understanding(self) -> UnderstandingTower:
        """Our understanding tower."""
        from benchmarks.gpu import ours

        return ours.understanding(self.size.config, self.tensors)

    @cached_property
    def denoiser(self) -> Denoiser:
        """Our denoiser."""
        from benchmarks.gpu import ours

        return ours.denoiser(self.size.config, self.tensors, self.device)

    @cached_property
    def peer(self) -> Peer:
        """diffusers, over the same tensors."""
        from benchmarks.gpu.peer import Peer

        return Peer(self.size.config, self.tensors, self.device)

    def prompts(self, lengths: Sequence[int]) -> Prompts:
        """Token ids of prompts of these lengths."""
        generator = torch.Generator().manual_seed(0)
        vocabulary = self.size.config.vocab_size
        return [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]

    def texts(self, prompts: Prompts) -> list[TextKeyValues]:
        """Keys and values of prompts."""
        from benchmarks.gpu import ours

        return ours.prefill(self.understanding, prompts)

    def synchronize(self) -> None:
        """Wait until the device has done everything."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def reset_peak(self) -> None:
        """Start counting the most memory that is held."""
        if self.cuda:
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_bytes(self) -> int:
        """The most memory that was held since the count started; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.cuda else 0

    def release_memory(self) -> None:
        """Give memory that no item holds any more back to the device."""
        gc.collect()
        if self.cuda:
            torch.cuda.empty_cache()
