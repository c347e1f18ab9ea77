"""diffusers' modular blocks: its loop over the parts of a transfer, and its sampler for distilled checkpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.modular_pipelines.cosmos.decoders import Cosmos3TransferDecodeChunkStep
from diffusers.modular_pipelines.cosmos.modular_blocks_cosmos3 import Cosmos3OmniBlocks
from diffusers.modular_pipelines.cosmos.modular_blocks_cosmos3_distilled import Cosmos3DistilledBlocks
from diffusers.modular_pipelines.modular_pipeline import LoopSequentialPipelineBlocks
from PIL import Image
from torch import Tensor

from tests.parity.cases import CONTROL_GUIDANCE, FIXED_LEVELS, GUIDANCE, NEGATIVE, PROMPT, Case
from tests.parity.oracles.pipeline import scheduled
from tests.parity.oracles.sequence import PATCH, SPATIAL, TEMPORAL
from tests.parity.oracles.weighted import weighted_controls
from tests.parity.outcome import Outcome

PARTS = "latents_of_parts"


class RecordingDecode(Cosmos3TransferDecodeChunkStep):
    """diffusers' step that decodes a part, which also keeps the part's latents, `[48, frames, height, width]`."""

    def __call__(self, components: Any, state: Any) -> Any:
        state.set(PARTS, [*(state.get(PARTS) or []), state.get("latents")[0].clone()])
        return super().__call__(components, state)


def _recording_blocks() -> Any:
    blocks = Cosmos3OmniBlocks()
    loop = blocks.sub_blocks["denoise"].sub_blocks["transfer"].sub_blocks["chunk_denoise"]
    loop.sub_blocks["decode_chunk"] = RecordingDecode()  # type: ignore[no-untyped-call]  # diffusers' constructor
    return blocks


def run_transfer(pipeline: Any, case: Case, seed: int) -> Outcome:
    """A transfer with diffusers' blocks: the latents of all parts, and the noise that its generator drew for each."""
    with scheduled(pipeline, case):
        blocks = _assembled(_recording_blocks(), pipeline, scheduler=pipeline.scheduler)
        state = blocks(
            prompt=PROMPT,
            negative_prompt=NEGATIVE,
            control_videos={kind: _pictures(case.control(kind)) for kind, _ in case.controls},
            video=_pictures(case.video) if case.opening else None,
            num_video_frames_per_chunk=case.part_frames,
            num_first_chunk_conditional_frames=case.opening,
            fps=case.fps,
            num_inference_steps=case.steps,
            guidance_scale=GUIDANCE,
            control_guidance=CONTROL_GUIDANCE,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="np",
            **case.size,
        )
    parts: list[Tensor] = state.get(PARTS)
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = [{"vision": torch.randn(part.shape, generator=generator)} for part in parts]
    return Outcome({"vision": torch.cat(parts, dim=1)}, _grey_levels(state.get("videos")), noise)


def run_weighted_transfer(pipeline: Any, case: Case, seed: int) -> Outcome:
    """The same with several controls, each of which is seen by itself."""
    assert case.num_frames is not None
    frames = (case.num_frames - 1) // TEMPORAL + 1
    rows, columns = (math.ceil(case.size[side] / SPATIAL / PATCH) for side in ("height", "width"))
    weights = [weight for _, weight in case.controls]
    with weighted_controls(pipeline.transformer, weights, tokens=frames * rows * columns):
        return run_transfer(pipeline, case, seed)


def run_distilled(pipeline: Any, case: Case, seed: int) -> Outcome:
    """The few steps of a distilled checkpoint; the generator draws the first noise, then one for each step."""
    blocks = _assembled(
        Cosmos3DistilledBlocks(),
        pipeline,
        scheduler=FlowMatchEulerDiscreteScheduler(stochastic_sampling=True),
        distilled_sigmas=FIXED_LEVELS,
        default_use_system_prompt=pipeline.config.default_use_system_prompt,
    )
    state = blocks(
        prompt=PROMPT,
        image=Image.fromarray(case.image) if case.mode == "image2video" else None,
        num_frames=case.num_frames,
        fps=case.fps,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
        **case.size,
    )
    return Outcome({"vision": state.get("latents")[0]}, _grey_levels(state.get("videos")))


def _assembled(blocks: Any, pipeline: Any, **components: Any) -> Any:
    _without_progress_bars(blocks)
    modular = blocks.init_pipeline()
    shared = {name: getattr(pipeline, name) for name in ("transformer", "vae", "text_tokenizer")}
    modular.update_components(**shared, **components)
    modular.disable_safety_checker()
    return modular


def _without_progress_bars(blocks: Any) -> None:
    for block in getattr(blocks, "sub_blocks", {}).values():
        if isinstance(block, LoopSequentialPipelineBlocks):
            block.set_progress_bar_config(disable=True)
        _without_progress_bars(block)


def _pictures(frames: Any) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames]


def _grey_levels(video: Any) -> Any:
    return (video * 255).round().astype(np.uint8)
