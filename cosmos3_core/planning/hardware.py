"""Cards that a plan can be made for: figures of their data sheets, and constants fitted to published runs.

Numbers only; `cost` has the formulas.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """One kind of card, or a CPU.

    Attributes:
        name: what users call it.
        memory_bytes: nominal size; the allocator's overhead fits into what the card has beyond it.
        flops_per_second: dense bf16 peak.
        bytes_per_second: memory bandwidth.
        link_bytes_per_second: bandwidth of a rank to the others of its gang; fitted, not nominal.
        product_efficiency: share of the peak that linear layers reach, with the element-wise work between them.
        attention_efficiency: share of the peak that attention reaches.
        layer_overhead_s: fixed seconds of a layer in a forward pass, such as kernel launches.
        exchange_overhead_s: fixed seconds that a layer costs on top where ranks exchange tokens or partial sums.
        decode_720p_s: seconds of the video decoder for 189 frames of 1280x720.
    """

    name: str
    memory_bytes: int
    flops_per_second: float
    bytes_per_second: float
    link_bytes_per_second: float
    product_efficiency: float
    attention_efficiency: float
    layer_overhead_s: float
    exchange_overhead_s: float
    decode_720p_s: float


# Sizes and peaks are the data sheets', decoding is survey B.3's. The five constants between were fitted per card to
# the seconds that are published for vLLM-Omni (survey B.1): all sizes of t2v and t2i on 1, 4 and 8 cards, Nano and,
# where published, Super, with 4 and 8 cards taken as cfg 2 x ulysses 2 and 4. Least squares of the logarithm of the
# ratio; videos of 480p and 720p count three times, images half, and images of 480p on eight cards not at all: they are
# published as two to twelve times as slow as those of 256p and of 720p. tests/core/planning/test_cost.py states how
# close the estimates come.
_CARDS = (
    Hardware("h100-80gb", 80_000_000_000, 989e12, 3.35e12, 77e9, 0.67, 0.63, 245e-6, 1.05e-3, 8.9),
    Hardware("h100-nvl", 94_000_000_000, 835e12, 3.9e12, 30e9, 0.60, 0.465, 265e-6, 0.5e-3, 8.9),
    Hardware("h200-141gb", 141_000_000_000, 989e12, 4.8e12, 160e9, 0.70, 0.59, 250e-6, 0.95e-3, 8.9),
    Hardware("h200-nvl", 141_000_000_000, 835e12, 4.8e12, 450e9, 0.755, 0.575, 245e-6, 0.57e-3, 8.9),
    Hardware("h20-96gb", 96_000_000_000, 148e12, 4.0e12, 60e9, 0.94, 0.94, 235e-6, 0.9e-3, 31.0),
    Hardware("b200-180gb", 180_000_000_000, 2250e12, 8.0e12, 85e9, 0.565, 0.545, 250e-6, 1.0e-3, 6.1),
    Hardware("b300", 270_000_000_000, 2250e12, 8.0e12, 100e9, 0.575, 0.59, 440e-6, 2.0e-3, 6.1),
    Hardware("rtx-pro-6000", 96_000_000_000, 503e12, 1.6e12, 13e9, 0.62, 0.73, 190e-6, 0.3e-3, 6.1),
)
# Two cores of a Xeon, roughly: benchmarks/README.md reports 180 GFLOP/s. Measured steps correct it (`cost.CostModel`).
CPU = Hardware("cpu", 16_000_000_000, 0.2e12, 20e9, 1e9, 0.9, 0.9, 300e-6, 2e-3, 20_000.0)

HARDWARE: dict[str, Hardware] = {hardware.name: hardware for hardware in (*_CARDS, CPU)}
"""Kinds of hardware by name."""

# Parts of the names that CUDA gives to cards, the more specific ones first.
_DEVICE_NAMES = {
    "H100 NVL": "h100-nvl",
    "H200 NVL": "h200-nvl",
    "H100": "h100-80gb",
    "H200": "h200-141gb",
    "H20": "h20-96gb",
    "B200": "b200-180gb",
    "B300": "b300",
    "RTX PRO 6000": "rtx-pro-6000",
}


def recognise(device_name: str | None) -> Hardware:
    """The kind of a device by the name that CUDA gives it, such as `NVIDIA H200`; None is the CPU.

    An unknown card counts as an H100: a cost model corrects itself by the steps it observes.
    """
    if device_name is None:
        return CPU
    known = (name for part, name in _DEVICE_NAMES.items() if part in device_name)
    return HARDWARE[next(known, "h100-80gb")]
