"""The two sizes of a run: Nano as published, and a miniature that goes through the same code on a CPU in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cosmos3_core.catalog import CATALOG
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import SequenceLayout
from cosmos3_core.planning.memory import StepShape
from cosmos3_core.planning.published import WORKLOADS, Workload
from cosmos3_core.tiny.configs import TINY

CHECKPOINT = "nvidia/Cosmos3-Nano"


@dataclass(frozen=True)
class Shape:
    """A kind of request, and how much of it is measured.

    Attributes:
        layout: shape of its generation sequence.
        schedule_steps: denoising steps of the whole request.
        our_steps, peer_steps: steps that are measured, of us and of diffusers.
        pixels: pixels of the whole clip.
        published: the workload that NVIDIA published seconds for.
    """

    layout: SequenceLayout
    schedule_steps: int
    our_steps: int
    peer_steps: int
    pixels: int
    published: Workload | None = None


@dataclass(frozen=True)
class Clip:
    """Latents for the video decoder."""

    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class Size:
    """Everything that differs between the published size and the miniature.

    Attributes:
        name: as the results file has it.
        config: shapes of the towers.
        shapes: requests by the id of the item that measures them.
        text_tokens: lengths of the texts of both guidance branches.
        new_text_tokens: lengths that no earlier step has had.
        vae_encoder_width, vae_decoder_width: base channels of the VAE's halves.
        clips: what is decoded, by name.
        copied_bytes: size of the copy that measures the memory's bandwidth.
        product_side: side of the square matrices whose product measures the peak.
        repeat_s: seconds of repeats of a single kernel.
    """

    name: str
    config: TransformerConfig
    shapes: dict[str, Shape]
    text_tokens: tuple[int, int]
    new_text_tokens: tuple[int, int]
    vae_encoder_width: int
    vae_decoder_width: int
    clips: dict[str, Clip]
    copied_bytes: int
    product_side: int
    repeat_s: float

    def geometry(self, shape: Shape) -> StepShape:
        """What a step of this shape works on, for the cost model."""
        return StepShape(shape.layout.tokens(self.config.latent_patch_size), self.text_tokens)


def _nano() -> Size:
    config = CATALOG[CHECKPOINT].config
    measured = {"t2i": (50, 50), "256p": (35, 10), "480p": (5, 3), "720p": (3, 2)}
    shapes = {
        name: Shape(work.layout(config), work.steps, ours, peer, work.pixels, work)
        for (name, (ours, peer)), work in zip(measured.items(), WORKLOADS, strict=True)
    }
    return Size(
        name="nano",
        config=config,
        shapes=shapes,
        text_tokens=(1000, 1000),
        new_text_tokens=(937, 911),
        vae_encoder_width=160,
        vae_decoder_width=256,
        clips={"480p": Clip(12, 30, 52), "720p": Clip(6, 45, 80)},
        copied_bytes=4 * 1024**3,
        product_side=8192,
        repeat_s=0.3,
    )


def _miniature() -> Size:
    config = replace(
        CATALOG[CHECKPOINT].config,
        hidden_size=TINY.hidden,
        intermediate_size=TINY.intermediate,
        num_hidden_layers=2,
        num_attention_heads=TINY.heads,
        num_key_value_heads=TINY.kv_heads,
        head_dim=TINY.head_dim,
        rope_axes_dim=TINY.mrope_section,
        vocab_size=512,
    )
    frames = {"t2i": 1, "256p": 2, "480p": 3, "720p": 4}
    shapes = {
        name: Shape(SequenceLayout(count, 4, 6, fps=config.base_fps), 4, 3, 2, pixels=count * 4 * 6 * 256)
        for name, count in frames.items()
    }
    return Size(
        name="miniature",
        config=config,
        shapes=shapes,
        text_tokens=(24, 24),
        new_text_tokens=(19, 17),
        vae_encoder_width=8,
        vae_decoder_width=8,
        clips={"480p": Clip(4, 2, 2), "720p": Clip(4, 2, 3)},
        copied_bytes=2**20,
        product_side=128,
        repeat_s=0.01,
    )


def size_of(miniature: bool) -> Size:
    """The size to measure."""
    return _miniature() if miniature else _nano()
