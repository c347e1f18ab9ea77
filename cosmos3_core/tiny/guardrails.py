"""Guardrails for tests and tiny recipes: a short list of words, and a classifier that takes red pictures for unsafe.

The classifier is real: its features are those of the tiny checkpoint's VAE, which keeps colours; its head is fitted.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.pixels import Frames
from cosmos3_core.guardrails.features import FrameFeatures, VaeFeatures
from cosmos3_core.guardrails.frames_classifier import CONFIG, HEAD

UNSAFE_WORD = "grimflax"
"""No language has this word."""
UNSAFE_CLASS = "Red"
UNSAFE_COLOUR = (200, 20, 20)
# Red less the mean of green and blue, twice: what lies above is neither taken for safe nor for unsafe.
REDDISH = 150
DRAWN = 32
RIDGE = 1.0


def write_blocklist(path: Path) -> Path:
    """Write the list of words."""
    path.write_text(f"# For tests.\n{UNSAFE_WORD}\nforbidden orchard\n", encoding="utf-8")
    return path


def write_frames_classifier(folder: Path, checkpoint: str) -> Path:
    """Write a classifier into a new folder.

    Args:
        folder: the folder.
        checkpoint: the checkpoint whose VAE makes the features, as a recipe names it.
    """
    folder.mkdir(parents=True)
    features = VaeFeatures(Checkpoint.find(checkpoint), torch.device("cpu"))
    config = {"encoder": "vae", "path": checkpoint, "classes": ["Safe", UNSAFE_CLASS]}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    save_file(_fitted_head(features), folder / HEAD)
    return folder


def _fitted_head(features: FrameFeatures) -> dict[str, Tensor]:
    """Weights of a head that tells pictures of the unsafe colour from others, by least squares."""
    random = np.random.default_rng(0)
    unsafe = _pictures(random, np.tile(UNSAFE_COLOUR, (DRAWN, 1)))
    others = random.integers(0, 256, (4 * DRAWN, 3))
    reddish = 2 * others[:, 0] - others[:, 1:].sum(axis=1) > REDDISH
    found = features.of(np.concatenate([unsafe, _pictures(random, others[~reddish])])).double()
    inputs = torch.cat([found, torch.ones(len(found), 1)], dim=1)
    wanted = torch.full((len(found),), -1.0, dtype=torch.float64)
    wanted[:DRAWN] = 1.0
    gram = inputs.T @ inputs + RIDGE * torch.eye(inputs.shape[1])
    solved = torch.linalg.solve(gram, inputs.T @ wanted).float()
    return {"weight": torch.stack([-solved[:-1], solved[:-1]]), "bias": torch.stack([-solved[-1], solved[-1]])}


def _pictures(random: np.random.Generator, colours: NDArray[np.int64]) -> Frames:
    """A picture of 32x32 in each colour, with noise of one strength each: uint8 `[pictures, 32, 32, 3]`."""
    strength = random.uniform(0, 120, (len(colours), 1, 1, 1))
    noise = random.normal(0, 1, (len(colours), 32, 32, 3)) * strength
    frames: Frames = np.clip(colours[:, None, None, :] + noise, 0, 255).astype(np.uint8)
    return frames
