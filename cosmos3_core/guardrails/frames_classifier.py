"""A classifier of single frames: an image encoder and a head, which says the class of each frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.guardrails.features import FrameFeatures, SiglipFeatures, VaeFeatures
from cosmos3_core.guardrails.files import sha256_of
from cosmos3_core.guardrails.verdict import ALLOWED, Frames, GuardrailError, Verdict, blocked

NAME = "frames_classifier"
CONFIG, HEAD = "config.json", "model.safetensors"
NVIDIAS_HEAD = "safety_filter.pt"
NVIDIAS_ENCODER = "google/siglip-so400m-patch14-384"
NVIDIAS_CLASSES = ("Safe", "Sexual_Content", "Violence", "Drugs", "Child_Abuse", "Hate_and_Harassment", "Self-Harm")


class FramesClassifier:
    """A frames guardrail by the class of each frame; every class but the first blocks.

    Args:
        features: the encoder.
        head: features `[frames, size]` to scores `[frames, classes]`.
        classes: their names; the first one is the safe one.
        sha256: hash of its files.
    """

    name = NAME

    def __init__(self, features: FrameFeatures, head: nn.Module, classes: Sequence[str], sha256: str = "") -> None:
        self.sha256 = sha256
        self._features = features
        self._head = head.eval()
        self._classes = tuple(classes)

    @classmethod
    def read(cls, folder: Path, device: torch.device) -> FramesClassifier:
        """Read a folder: NVIDIA's `video_content_safety_filter`, or one with a `config.json`.

        That has `encoder` (`siglip` or `vae`), `path` of the encoder (a folder below this one, or for `vae` any
        checkpoint) and `classes`, and `model.safetensors` beside it has `weight` and `bias` of a linear head.

        Raises:
            GuardrailError: it holds no classifier.
        """
        try:
            if (folder / CONFIG).is_file():
                return cls(*_own(folder, device), sha256_of(folder))
            return cls(*_nvidias(folder, device), sha256_of(folder))
        except GuardrailError:
            raise
        except Exception as error:  # There are as many as there are libraries that read a part of it.
            reason = str(error).partition("\n")[0]
            raise GuardrailError(f"frames_classifier: {folder} holds no classifier: {reason}") from error

    @torch.no_grad()
    def check(self, frames: Frames) -> tuple[Verdict, Frames]:
        """Whether any of the frames has an unsafe class; the frames stay as they are."""
        scores: Tensor = self._head(self._features.of(frames))
        if not bool(torch.isfinite(scores).all()):
            return blocked("could not be judged"), frames
        unsafe = [int(number) for number in scores.argmax(dim=-1) if number != 0]
        return (blocked(f"show {self._classes[unsafe[0]]}") if unsafe else ALLOWED), frames


def _own(folder: Path, device: torch.device) -> tuple[FrameFeatures, nn.Module, Sequence[str]]:
    config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    encoder, path, classes = config["encoder"], str(config["path"]), config["classes"]
    features: FrameFeatures
    if encoder == "siglip":
        features = SiglipFeatures.read(str(folder / path), device)
    elif encoder == "vae":
        features = VaeFeatures(Checkpoint.find(path), device)
    else:
        raise GuardrailError(f"frames_classifier: encoder is {encoder!r} in {folder / CONFIG}; expected siglip or vae")
    tensors = load_file(folder / HEAD, device=str(device))
    head = nn.Linear(tensors["weight"].shape[1], len(classes), device=device)
    head.load_state_dict(tensors)
    return features, head, classes


def _nvidias(folder: Path, device: torch.device) -> tuple[FrameFeatures, nn.Module, Sequence[str]]:
    if not (folder / NVIDIAS_HEAD).is_file():
        raise GuardrailError(f"frames_classifier: {folder} has neither {CONFIG} nor NVIDIA's {NVIDIAS_HEAD}")
    stored = torch.load(folder / NVIDIAS_HEAD, weights_only=True, map_location=device)["model"]
    tensors = {name.removeprefix("network.layers."): tensor for name, tensor in stored.items()}
    head = nvidias_head(tensors["0.weight"].shape[1], len(NVIDIAS_CLASSES)).to(device)
    head.load_state_dict(tensors)
    return SiglipFeatures.read(NVIDIAS_ENCODER, device, cache=folder), head, NVIDIAS_CLASSES


def nvidias_head(size: int, classes: int) -> nn.Sequential:
    """The layers of NVIDIA's classifier of features `[frames, size]`."""
    return nn.Sequential(
        nn.Linear(size, 512),
        nn.BatchNorm1d(512),
        nn.ReLU(),
        nn.Linear(512, 256),
        nn.BatchNorm1d(256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )
