"""Modes that diffusers lacks, composed by the spec's formulas around its transformer, solver and codecs.

Image editing (spec 9.5), video to a given soundtrack (9.6), policy with the robot's state (8.8), and embodiments that
diffusers does not list (8.1).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import _preprocess_conditioning_image
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tests.parity.cases import GUIDANCE, NEGATIVE, PROMPT, SAMPLING_RATE, Case
from tests.parity.oracles.pipeline import scheduled
from tests.parity.oracles.sequence import SPATIAL, TEMPORAL, Stretch, velocities
from tests.parity.outcome import Outcome
from tests.parity.suite import DOMAINS

EDIT_SYSTEM_PROMPT = "You are a helpful assistant who will edit images based on the user's instructions."
LATENT_SOUND_RATE, HOP = 25.0, 1920


@dataclass(frozen=True)
class Composition:
    """What a case is made of.

    Attributes:
        texts: token ids of the prompt and of the negative prompt.
        stretches: of the sequence, in the order vision, sound, action.
        domain: of the actions.
        width: how many of their columns are used.
    """

    texts: tuple[list[int], list[int]]
    stretches: Sequence[Stretch]
    domain: int = 0
    width: int = 0

    @property
    def generated(self) -> dict[str, int]:
        """The index of the stretch of each modality that has noise; of several items that is the last."""
        return {stretch.modality: index for index, stretch in enumerate(self.stretches)}


@torch.no_grad()
def run_composed(pipeline: Any, case: Case, seed: int) -> Outcome:
    """A case through its composition."""
    compose = _edit if case.mode == "image2image" else _action if case.is_action else _soundtrack
    composition = compose(pipeline, case)
    generator = torch.Generator("cpu").manual_seed(seed)
    noise = {
        name: torch.randn(composition.stretches[index].clean.shape, generator=generator)
        for name, index in composition.generated.items()
    }
    with scheduled(pipeline, case):
        final = _denoised(pipeline, case, composition, noise)
    latents = {name: final[index] for name, index in composition.generated.items()}
    frames = _decoded(pipeline, latents["vision"])
    latents["vision"] = latents["vision"][0]
    if case.is_action:
        action = latents.pop("action")[case.state_rows :, : composition.width]
        if case.mode != "forward_dynamics":
            latents["action"] = action
    return Outcome(latents, frames, [noise])


def _denoised(pipeline: Any, case: Case, composition: Composition, noise: dict[str, Tensor]) -> list[Tensor]:
    """The latents of all stretches after all steps (spec 5.2, 5.4, 5.7)."""
    stretches, generated = composition.stretches, composition.generated
    values = [stretch.clean for stretch in stretches]
    for name, index in generated.items():
        start = noise[name].clone()
        if name == "action":
            start[:, composition.width :] = 0
        values[index] = stretches[index].restored(start)
    solvers = [_solver(pipeline, case.steps) for _ in stretches]
    for timestep in solvers[0].timesteps:
        positive, negative = (
            velocities(pipeline.transformer, stretches, values, ids, timestep, composition.domain)
            for ids in composition.texts
        )
        for index in generated.values():
            velocity = negative[index] + GUIDANCE * (positive[index] - negative[index])
            if stretches[index].modality == "action":
                velocity[:, composition.width :] = 0
            stepped = solvers[index].step(velocity[None], timestep, values[index][None], return_dict=False)[0][0]
            values[index] = stretches[index].restored(stepped)
    return values


def _solver(pipeline: Any, steps: int) -> Any:
    """diffusers' solver with its noise levels set, the framework's where the checkpoint says so (spec 5.5)."""
    solver = copy.deepcopy(pipeline.scheduler)
    own = np.linspace(1 - 1 / 1000, 0, steps + 1)[:-1] if pipeline.config.use_native_flow_schedule else None
    solver.set_timesteps(steps, sigmas=own)
    return solver


def _vision(pipeline: Any, case: Case, latents: Tensor, given: tuple[int, ...]) -> Stretch:
    base = pipeline.transformer.config.base_fps
    return Stretch("vision", latents, given, rate=case.fps / TEMPORAL, base_rate=base / TEMPORAL)


def _edit(pipeline: Any, case: Case) -> Composition:
    """The source picture, given whole, and the target right after it in time."""
    picture = Image.fromarray(case.image)
    if case.size:
        clip = _preprocess_conditioning_image(picture, **case.size)
    else:
        scale = 512 / max(picture.size)
        width, height = (int(side * scale) // 32 * 32 for side in picture.size)
        pixels = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
        clip = (torch.from_numpy(pixels.copy()).float() / 127.5 - 1).permute(2, 0, 1)[None]
    source = _vision(pipeline, case, pipeline._encode_video(clip[:, :, None]), given=(0,))
    target = replace(source, given=(), delay=1)
    return Composition((_chat(pipeline, PROMPT), _chat(pipeline, NEGATIVE)), [source, target])


def _chat(pipeline: Any, text: str) -> list[int]:
    """Token ids of an edit's text (spec 4.2, 4.3)."""
    messages = [{"role": "system", "content": EDIT_SYSTEM_PROMPT}, {"role": "user", "content": text}]
    encoded = pipeline.text_tokenizer.apply_chat_template(
        messages, tokenize=True, add_generation_prompt=True, add_vision_id=False, return_dict=True
    )
    special = pipeline.llm_special_tokens
    return [*encoded["input_ids"], special["eos_token_id"], special["start_of_generation"]]


def _soundtrack(pipeline: Any, case: Case) -> Composition:
    """A video, perhaps from its first frame, and a soundtrack that is given whole."""
    assert case.num_frames is not None
    height, width = case.size["height"], case.size["width"]
    texts = pipeline.tokenize_prompt(
        PROMPT, NEGATIVE, num_frames=case.num_frames, height=height, width=width, fps=case.fps
    )
    frames = (case.num_frames - 1) // TEMPORAL + 1
    clean = torch.zeros(1, 48, frames, height // SPATIAL, width // SPATIAL)
    given = (0,) if case.mode == "image2video" else ()
    if given:
        first = _preprocess_conditioning_image(Image.fromarray(case.image), height, width)
        clean[:, :, :1] = pipeline._encode_video(first[:, :, None])
    length = -(-int(case.num_frames / case.fps * SAMPLING_RATE) // HOP)
    waveform = torch.zeros(1, 2, length * HOP)
    waveform[0, :, : case.waveform.shape[1]] = torch.from_numpy(case.waveform)
    sound = pipeline.sound_tokenizer.encode(waveform).latent_dist.mode()[0]
    base = pipeline.transformer.config.base_fps
    track = Stretch("sound", sound, tuple(range(length)), rate=LATENT_SOUND_RATE, base_rate=base)
    return Composition(texts, [_vision(pipeline, case, clean, given), track])


def _action(pipeline: Any, case: Case) -> Composition:
    """A video and actions: the state and the given actions are clean, the first row after the state is for frame 1."""
    assert case.domain is not None
    length = case.chunk + 1
    inverse = case.mode == "inverse_dynamics"
    source = case.video if inverse else case.image[None]
    clip, size, height, width = pipeline._prepare_action_video_conditioning(
        [Image.fromarray(frame) for frame in source], 256, length, device="cpu", dtype=torch.float32
    )
    texts = pipeline.tokenize_prompt(
        PROMPT,
        NEGATIVE,
        num_frames=length,
        height=height,
        width=width,
        fps=case.fps,
        action_mode=case.mode,
        action_view_point="ego_view",
    )
    latents = pipeline._remove_action_video_padding_from_latent(pipeline._encode_video(clip), size)
    vision = _vision(pipeline, case, latents, tuple(range(latents.shape[2])) if inverse else (0,))
    rows = torch.zeros(case.state_rows + case.chunk, 64)
    rows[: case.state_rows, : case.width] = torch.from_numpy(case.state)
    given = case.state_rows
    if case.mode == "forward_dynamics":
        given = case.chunk
        rows[: case.chunk - 1, : case.width] = torch.from_numpy(case.actions)
        rows[case.chunk - 1] = rows[case.chunk - 2]
    base = pipeline.transformer.config.base_fps / TEMPORAL
    action = Stretch("action", rows, tuple(range(given)), rate=case.fps, base_rate=base, first=1 - case.state_rows)
    return Composition(texts, [vision, action], DOMAINS[case.domain], case.width)


def _decoded(pipeline: Any, latents: Tensor) -> NDArray[np.uint8]:
    """Frames of normalised latents (spec 6.4)."""
    mean, scale = (x.view(1, -1, 1, 1, 1) for x in (pipeline._vae_latents_mean, pipeline._vae_latents_inv_std))
    decoded = pipeline.vae.decode(latents / scale + mean).sample
    video = pipeline.video_processor.postprocess_video(decoded, output_type="np")[0]
    return np.asarray((video * 255).round(), np.uint8)
