"""Make a tiny checkpoint with random weights in the published layout.

Each imitates a published one: `MEMBERS` says which, and the catalog what that one has.
"""

from __future__ import annotations

from typing import Literal

TinyFamily = Literal["nano", "edge"]
"""The layout of the tokenizer and the processor: Qwen-like of Nano and Super, or Nemotron-like of Edge."""

TinyMember = Literal[
    "nano",
    "super",
    "edge",
    "text2image",
    "image2video",
    "text2image-4step",
    "image2video-4step",
    "policy-droid",
    "edge-policy-droid",
]
"""The member of the family that a tiny checkpoint imitates."""

MEMBERS: dict[TinyMember, str] = {
    "nano": "nvidia/Cosmos3-Nano",
    "super": "nvidia/Cosmos3-Super",
    "edge": "nvidia/Cosmos3-Edge",
    "text2image": "nvidia/Cosmos3-Super-Text2Image",
    "image2video": "nvidia/Cosmos3-Super-Image2Video",
    "text2image-4step": "nvidia/Cosmos3-Super-Text2Image-4Step",
    "image2video-4step": "nvidia/Cosmos3-Super-Image2Video-4Step",
    "policy-droid": "nvidia/Cosmos3-Nano-Policy-DROID",
    "edge-policy-droid": "nvidia/Cosmos3-Edge-Policy-DROID",
}
"""The ids of the published checkpoints that they imitate."""

IMITATED = "_cosmos3_imitates"
"""Key of `model_index.json` with that id. diffusers takes keys that begin so as none of a pipeline's own."""
