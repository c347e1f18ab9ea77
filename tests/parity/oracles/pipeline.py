"""diffusers' `Cosmos3OmniPipeline`, and the schedule that a case asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from diffusers import UniPCMultistepScheduler
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import CosmosActionCondition
from PIL import Image
from torch import Tensor

from cosmos3_core.sampling.schedule import ScheduleKind
from tests.parity.cases import FLOW_SHIFT, GUIDANCE, NEGATIVE, PROMPT, Case
from tests.parity.outcome import Outcome


@contextmanager
def scheduled(pipeline: Any, case: Case) -> Iterator[None]:
    """The pipeline with the schedule of a case."""
    shipped, native = pipeline.scheduler, pipeline.config.use_native_flow_schedule
    try:
        if case.schedule in (ScheduleKind.FLOW, ScheduleKind.LINSPACE):
            config = shipped.config
            pipeline.scheduler = UniPCMultistepScheduler.from_config(
                config, flow_shift=FLOW_SHIFT, use_karras_sigmas=False
            )
            pipeline.register_to_config(use_native_flow_schedule=case.schedule is ScheduleKind.FLOW)
        yield
    finally:
        pipeline.scheduler = shipped
        pipeline.register_to_config(use_native_flow_schedule=native)


def run_pipeline(pipeline: Any, case: Case, seed: int, decode: bool = True) -> Outcome:
    """The case through diffusers' pipeline, whose generator draws the noise as ours does."""
    captured: dict[str, Tensor] = {}
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
        with scheduled(pipeline, case):
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
    if output.action is not None:
        captured["action"] = output.action[0]
    return Outcome(captured, (output.video * 255).round().astype(np.uint8) if decode else None)


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
