"""The peer: diffusers' transformer and scheduler over the same tensors, called as its pipeline calls them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from diffusers import Cosmos3OmniPipeline, Cosmos3OmniTransformer, UniPCMultistepScheduler
from torch import Tensor

from benchmarks.gpu.ours import GUIDANCE, SEED, SHIFT
from benchmarks.gpu.sizes import Shape
from benchmarks.gpu.weights import Tensors, assign, in_fp32
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.layout import VAE_TEMPORAL_STRIDE, Modality, latent_shapes
from cosmos3_core.sampling.noise import draw
from cosmos3_core.sampling.schedule import TRAIN_STEPS

_FORWARD = (
    "input_ids",
    "text_indexes",
    "position_ids",
    "und_len",
    "sequence_length",
    "vision_token_shapes",
    "vision_sequence_indexes",
    "vision_mse_loss_indexes",
    "vision_noisy_frame_indexes",
)


@dataclass
class PeerTask:
    """A request being denoised by diffusers: what its forward takes for each branch, its scheduler, its latents."""

    branches: list[dict[str, Any]]
    noisy_tokens: int
    scheduler: Any
    latents: Tensor
    step: int = 0


class Peer:
    """diffusers' transformer with the loop body of `Cosmos3OmniPipeline`."""

    def __init__(self, config: TransformerConfig, tensors: Tensors, device: torch.device, fp32: bool = False) -> None:
        self.transformer = _on_meta(config)
        assign(self.transformer, in_fp32(self.transformer, tensors) if fp32 else tensors)
        # A buffer that is no part of the checkpoint, so it is still on the meta device.
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
        self.transformer.rotary_emb.inv_freq = (1.0 / config.rope_theta**exponents).to(device)
        self.config = config
        self.device = device
        self.dtype = torch.float32 if fp32 else torch.bfloat16

    def start(self, shape: Shape, prompts: Sequence[Sequence[int]]) -> PeerTask:
        """A task with the prompts of both guidance branches, from the noise that ours starts from."""
        noise = draw(latent_shapes(self.config, shape.layout), SEED, "torch")[Modality.VISION]
        latents = noise[None].to(self.device)
        branches = [self._branch(ids, latents, shape.layout.fps) for ids in prompts]
        scheduler: Any = UniPCMultistepScheduler(
            num_train_timesteps=TRAIN_STEPS, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=SHIFT
        )
        sigmas = np.linspace(1 - 1 / TRAIN_STEPS, 0, shape.schedule_steps + 1)[:-1]
        scheduler.set_timesteps(shape.schedule_steps, device=self.device, sigmas=sigmas)
        return PeerTask(branches, branches[0]["num_noisy_vision_tokens"], scheduler, latents)

    def _branch(self, ids: Sequence[int], latents: Tensor, fps: float) -> dict[str, Any]:
        """What the transformer takes for one prompt, made by the pipeline's own methods."""
        pipeline: Any = Cosmos3OmniPipeline
        parts = SimpleNamespace(transformer=self.transformer, vae_scale_factor_temporal=VAE_TEMPORAL_STRIDE)
        text = pipeline._prepare_text_segment(parts, list(ids), self.device)
        vision = pipeline._prepare_vision_segment(
            parts,
            latents,
            has_image_condition=False,
            mrope_offset=text["vision_start_temporal_offset"],
            vision_fps=fps,
            curr=text["und_len"],
            device=self.device,
        )
        positions = torch.cat([text["text_mrope_ids"], vision["vision_mrope_ids"]], dim=1)
        length = text["und_len"] + vision["num_vision_tokens"]
        return {**text, **vision, "position_ids": positions, "sequence_length": length}

    @torch.no_grad()
    def step(self, task: PeerTask) -> None:
        """Make one denoising step, in place; waits for the device only where the pipeline does."""
        timestep = task.scheduler.timesteps[task.step]
        tokens = task.latents.to(dtype=self.dtype)
        timesteps = torch.full((task.noisy_tokens,), timestep.item(), device=self.device)
        mask = torch.zeros((1, task.latents.shape[2], 1, 1), device=self.device)
        velocities = []
        for branch in task.branches:
            predicted, _, _ = self.transformer(
                **{name: branch[name] for name in _FORWARD},
                vision_tokens=[tokens],
                vision_timesteps=timesteps,
                return_dict=False,
            )
            velocity, _, _ = Cosmos3OmniPipeline._mask_velocity_predictions(predicted, None, [mask])
            velocities.append(velocity.float())
        conditional, unconditional = velocities
        velocity = unconditional + GUIDANCE * (conditional - unconditional)
        stepped = task.scheduler.step(velocity[None], timestep, task.latents[None], return_dict=False)[0]
        task.latents = stepped[0]
        task.step += 1


def _on_meta(config: TransformerConfig) -> Any:
    """The transformer without weights; our configuration has the names of its arguments."""
    with torch.device("meta"):
        return Cosmos3OmniTransformer(**asdict(config))
