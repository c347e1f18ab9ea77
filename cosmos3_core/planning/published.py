"""What NVIDIA published about the speed of Cosmos 3 (inference_benchmarks.md of 2026-06-13; survey B.1).

Seconds of vLLM-Omni's whole pipeline with VAE decoding, bf16, one request at a time, guidance at every step.
"""

from __future__ import annotations

from dataclasses import dataclass

from cosmos3_core.geometry import Canvas, latent_frames, tier_canvas
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.modes import Output

PUBLISHED_GPUS = (1, 4, 8)


@dataclass(frozen=True)
class Workload:
    """A kind of request.

    Attributes:
        name: such as `t2v 720p`.
        tier: its size.
        frames: 1 for an image.
        steps: denoising steps, each with both guidance branches unless the checkpoint is distilled.
        output: what is made.
        ratio: its aspect ratio.
    """

    name: str
    tier: str
    frames: int
    steps: int
    output: Output = Output.VIDEO
    ratio: str = "16,9"

    @property
    def canvas(self) -> Canvas:
        """Size of a frame."""
        return tier_canvas(self.tier, self.ratio)

    @property
    def pixels(self) -> int:
        """Pixels of the whole clip."""
        return self.canvas.width * self.canvas.height * self.frames

    def layout(self, config: TransformerConfig) -> SequenceLayout:
        """Shape of its generation sequence."""
        height, width = self.canvas.latent
        return SequenceLayout(frames=latent_frames(self.frames), height=height, width=width, fps=config.base_fps)


WORKLOADS = (
    Workload("t2i 480p", "480", frames=1, steps=50, output=Output.IMAGE),
    Workload("t2v 256p", "256", frames=189, steps=35),
    Workload("t2v 480p", "480", frames=189, steps=35),
    Workload("t2v 720p", "720", frames=189, steps=35),
)
"""The kinds that something was published about."""
OTHER_WORKLOADS = (
    Workload("t2i 768p", "768", frames=1, steps=50, output=Output.IMAGE, ratio="1,1"),
    # The composed picture of the three cameras of DROID, 640x540, on its canvas.
    Workload("policy 480p", "480", frames=33, steps=4, output=Output.ROLLOUT, ratio="4,3"),
)
"""Kinds that checkpoints for one task are made for."""

Row = tuple[float | None, float | None, float | None]
_NANO: dict[str, tuple[Row, Row, Row, Row]] = {
    "h100-80gb": ((1.53, 2.35, 7.02), (6.97, 3.45, 3.49), (58.17, 19.95, 13.46), (202.29, 62.82, 37.80)),
    "h100-nvl": ((1.92, 1.81, 10.82), (9.25, 3.68, 3.15), (80.75, 27.48, 18.77), (311.13, 88.25, 54.01)),
    "h200-141gb": ((1.52, 2.37, 7.05), (6.79, 3.25, 3.42), (58.14, 19.77, 12.97), (208.36, 63.27, 37.49)),
    "h200-nvl": ((1.58, 1.91, 17.71), (7.44, 3.27, 2.33), (64.58, 21.31, 12.92), (240.05, 69.63, 39.17)),
    "h20-96gb": ((4.92, 2.57, 7.24), (28.58, 10.20, 7.70), (256.97, 77.42, 47.53), (929.81, 260.75, 148.46)),
    "b200-180gb": ((1.20, 2.05, 7.58), (4.03, 2.43, 3.49), (32.04, 12.63, 10.09), (107.84, 35.29, 22.87)),
    "b300": ((1.81, 4.16, 71.19), (4.46, 4.11, 5.44), (32.18, 13.83, 11.57), (102.10, 35.68, 24.33)),
    "rtx-pro-6000": ((2.87, 1.55, 1.81), (10.65, 5.06, 3.78), (105.61, 35.93, 23.76), (369.67, 114.30, 68.66)),
}
_SUPER: dict[str, tuple[Row, Row, Row, Row]] = {
    "h200-141gb": ((5.70, None, 7.16), (25.61, None, 5.87), (219.11, None, 35.26), (769.63, 212.30, 111.94)),
    "h200-nvl": ((6.28, None, 17.71), (27.54, None, 5.06), (252.33, None, 36.66), (911.49, 245.51, 123.85)),
    "b200-180gb": ((3.29, None, 9.10), (13.84, None, 4.76), (114.08, None, 22.09), (390.28, 113.31, 62.11)),
    "b300": ((3.79, None, 72.65), (14.57, None, 6.68), (109.03, None, 22.67), (366.66, 108.58, 60.73)),
}
_TABLES = {"nvidia/Cosmos3-Nano": _NANO, "nvidia/Cosmos3-Super": _SUPER}


def published_seconds(checkpoint: str, gpu: str, workload: Workload, gpus: int) -> float | None:
    """Seconds of one request on so many cards, or None where nothing was published."""
    rows = _TABLES.get(checkpoint, {}).get(gpu)
    if rows is None or gpus not in PUBLISHED_GPUS or workload not in WORKLOADS:
        return None
    return rows[WORKLOADS.index(workload)][PUBLISHED_GPUS.index(gpus)]
