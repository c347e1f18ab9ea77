"""Run one case through a reference and through us, and say how far the results are apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Cosmos3OmniPipeline
from torch import Tensor

from cosmos3_core import GenerationResult, LocalPipeline
from cosmos3_core.settings import DtypeName
from tests.golden.run import distilled
from tests.parity.cases import FIXED_LEVELS, Case, Oracle
from tests.parity.oracles.blocks import run_distilled, run_transfer, run_weighted_transfer
from tests.parity.oracles.composed import run_composed
from tests.parity.oracles.pipeline import run_pipeline
from tests.parity.outcome import Outcome


@dataclass(frozen=True)
class Pair:
    """Both implementations on one checkpoint."""

    root: Path
    ours: LocalPipeline
    reference: Any

    @classmethod
    def load(cls, root: Path, dtype: torch.dtype = torch.float32) -> Pair:
        """Load a checkpoint twice."""
        reference = Cosmos3OmniPipeline.from_pretrained(str(root), dtype=dtype)
        reference.set_progress_bar_config(disable=True)
        name: DtypeName = "float32" if dtype is torch.float32 else "bfloat16"
        return cls(root, LocalPipeline.from_pretrained(root, device="cpu", dtype=name), reference)

    @cached_property
    def ours_distilled(self) -> LocalPipeline:
        """Ours on the distilled variant of the checkpoint, which is written beside it."""
        return LocalPipeline.from_pretrained(distilled(self.root, FIXED_LEVELS), device="cpu", dtype="float32")

    def run(self, case: Case, seed: int) -> tuple[Outcome, Outcome]:
        """Our outcome and the reference's, from the same noise."""
        reference = run_reference(self.reference, case, seed)
        ours = self.ours_distilled if case.distilled else self.ours
        return run_ours(ours, case, seed, reference.noise), reference


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """The norm of the difference over the norm of the reference."""
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def run_ours(
    pipeline: LocalPipeline, case: Case, seed: int, noise: Sequence[Mapping[str, Tensor]] | None = None
) -> Outcome:
    """The case through `LocalPipeline`; without `noise` from that of the seed."""
    result: GenerationResult = pipeline.generate(case.request(seed), noise)
    latents = {name.value: tensor for name, tensor in result.latents.items()}
    if result.action is not None:
        latents["action"] = torch.from_numpy(result.action)
    return Outcome(latents, result.frames)


def denoise_ours(pipeline: LocalPipeline, case: Case, seed: int) -> Outcome:
    """The same without decoding."""
    resolved, encoded = pipeline.encode(case.request(seed))
    latents = {name.value: tensor for name, tensor in pipeline.denoise(encoded).items()}
    if resolved.action is not None:
        latents["action"] = latents["action"][:, : resolved.action.width]
    return Outcome(latents)


def run_reference(pipeline: Any, case: Case, seed: int) -> Outcome:
    """The case through its oracle."""
    match case.oracle:
        case Oracle.PIPELINE:
            return run_pipeline(pipeline, case, seed)
        case Oracle.BLOCKS:
            return run_distilled(pipeline, case, seed) if case.distilled else run_transfer(pipeline, case, seed)
        case Oracle.WEIGHTED:
            return run_weighted_transfer(pipeline, case, seed)
        case Oracle.COMPOSED:
            return run_composed(pipeline, case, seed)


def compare(ours: Outcome, reference: Outcome) -> dict[str, float]:
    """Relative error by modality, and the largest difference of decoded frames in grey levels."""
    errors = {name: relative_error(ours.latents[name], tensor) for name, tensor in reference.latents.items()}
    assert ours.frames is not None and reference.frames is not None and ours.frames.shape == reference.frames.shape
    return errors | {"grey levels": float(np.abs(ours.frames.astype(int) - reference.frames).max())}
