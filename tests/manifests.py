"""Small requests, and what stages say for a manifest where a test asks for no particular one."""

from __future__ import annotations

from typing import Any

from cosmos3_core import GenerationRequest
from cosmos3_core.catalog import Family
from cosmos3_core.provenance import CheckpointFacts, DenoiseFacts, EncodeFacts, Precision, Split

IMAGE: dict[str, Any] = {"mode": "t2i", "prompt": "a cup", "width": 64, "height": 64, "num_inference_steps": 2}
VIDEO: dict[str, Any] = {"mode": "text2video", "num_frames": 5, "width": 64, "height": 64, "num_inference_steps": 2}
PRECISION = Precision(
    device="cpu", device_name="AVX2", dtype="float32", attention="auto", batch_guidance=True, threads=1
)


def encode_facts() -> EncodeFacts:
    """Of an Encoder."""
    return EncodeFacts(
        checkpoint=CheckpointFacts(name="nano", revision=None, family=Family.NANO, config_sha256="0"),
        media={},
        resolved={"mode": "text2video", "seed": 0},
        prompts={},
        precision=PRECISION,
    )


def denoise_facts() -> DenoiseFacts:
    """Of a Denoiser."""
    return DenoiseFacts(
        plan=Split(), precision=PRECISION, resumed_at_step=(), shared_steps=0, versions={"python": "3.11.0"}
    )


def a_request(**fields: Any) -> GenerationRequest:
    """A video of 5 frames."""
    return GenerationRequest(prompt="a robot waves", **VIDEO | fields)
