"""Run one case through diffusers and through us, and say how far the results are apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import Cosmos3OmniPipeline, UniPCMultistepScheduler
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import CosmosActionCondition
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cosmos3_core import GenerationResult, LocalPipeline
from cosmos3_core.sampling.schedule import ScheduleKind
from cosmos3_core.settings import DtypeName
from tests.parity.cases import GUIDANCE, NEGATIVE, PROMPT, Case


@dataclass(frozen=True)
class Outcome:
    """What one implementation made: final latents by modality, and frames where they were decoded."""

    latents: dict[str, Tensor]
    frames: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class Pair:
    """Both implementations on one checkpoint."""

    ours: LocalPipeline
    reference: Any

    @classmethod
    def load(cls, root: Path, dtype: torch.dtype = torch.float32) -> Pair:
        """Load a checkpoint twice."""
        reference = Cosmos3OmniPipeline.from_pretrained(str(root), dtype=dtype)
        reference.set_progress_bar_config(disable=True)
        name: DtypeName = "float32" if dtype is torch.float32 else "bfloat16"
        return cls(LocalPipeline.from_pretrained(root, device="cpu", dtype=name), reference)


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """The norm of the difference over the norm of the reference."""
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def run_ours(pipeline: LocalPipeline, case: Case, seed: int) -> Outcome:
    """The case through `LocalPipeline`."""
    result: GenerationResult = pipeline.generate(case.request(seed))
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


def run_reference(pipeline: Any, case: Case, seed: int, decode: bool = True) -> Outcome:
    """The case through diffusers, whose generator draws the noise itself."""
    captured: dict[str, Tensor] = {}
    shipped_scheduler, shipped_native = pipeline.scheduler, pipeline.config.use_native_flow_schedule
    decode_sound = pipeline.decode_sound

    def keep_latents(_: Any, __: int, ___: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        captured["vision"] = tensors["latents"][0].clone()
        return tensors

    def keep_sound(latent: Tensor) -> Tensor:
        captured["sound"] = latent.clone()
        waveform: Tensor = decode_sound(latent)
        return waveform

    pipeline.decode_sound = keep_sound
    try:
        _set_schedule(pipeline, case)
        output = pipeline(
            PROMPT,
            negative_prompt=NEGATIVE,
            fps=case.fps,
            num_inference_steps=case.steps,
            guidance_scale=GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np" if decode else "latent",
            callback_on_step_end=keep_latents,
            **_inputs(case),
        )
    finally:
        pipeline.decode_sound = decode_sound
        pipeline.scheduler = shipped_scheduler
        pipeline.register_to_config(use_native_flow_schedule=shipped_native)
    if output.action is not None:
        captured["action"] = output.action[0]
    return Outcome(captured, (output.video * 255).round().astype(np.uint8) if decode else None)


def _set_schedule(pipeline: Any, case: Case) -> None:
    if case.schedule is None or case.schedule is ScheduleKind.KARRAS:
        return
    config = pipeline.scheduler.config
    pipeline.scheduler = UniPCMultistepScheduler.from_config(config, flow_shift=10.0, use_karras_sigmas=False)
    pipeline.register_to_config(use_native_flow_schedule=case.schedule is ScheduleKind.FLOW)


def _inputs(case: Case) -> dict[str, Any]:
    image = Image.fromarray(case.image)
    video = [Image.fromarray(frame) for frame in case.video]
    if not case.is_action:
        inputs: dict[str, Any] = {**case.size, "num_frames": case.num_frames, "enable_sound": case.sound}
        if case.mode == "image2video":
            inputs["image"] = image
        if case.mode == "video2video":
            inputs["video"] = video
            inputs["condition_frame_indexes_vision"] = case.condition_frames
            inputs["condition_video_keep"] = case.condition_keep
        return inputs
    inverse = case.mode == "inverse_dynamics"
    fields: dict[str, Any] = {"mode": case.mode, "domain_name": case.domain}
    condition = CosmosActionCondition(
        **fields,
        chunk_size=case.chunk,
        resolution_tier=256,
        raw_actions=torch.from_numpy(case.actions) if case.mode == "forward_dynamics" else None,
        image=None if inverse else image,
        video=video if inverse else None,
    )
    return {"action": condition}


def compare(ours: Outcome, reference: Outcome) -> dict[str, float]:
    """Relative error by modality, and the largest difference of decoded frames in grey levels."""
    errors = {name: relative_error(ours.latents[name], tensor) for name, tensor in reference.latents.items()}
    assert ours.frames is not None and reference.frames is not None and ours.frames.shape == reference.frames.shape
    return errors | {"grey levels": float(np.abs(ours.frames.astype(int) - reference.frames).max())}
