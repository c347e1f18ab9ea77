"""The Denoiser stage: an encoded request to latents, one step at a time.

It holds the generation tower only. A task is a small resumable value plus what can be computed from it, so a
scheduler may run tasks in any order, stop one between two steps, save it and go on elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import RequestError
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.rope import Rotation, rotation, stack_branches
from cosmos3_core.model.sequence import (
    Latents,
    Modality,
    NoisyTokens,
    SequenceLayout,
    media_positions,
    noisy_tokens,
)
from cosmos3_core.request import Step
from cosmos3_core.sampling.denoise import Conditioning, DenoiseState, Stochastic, advance
from cosmos3_core.sampling.guidance import Guidance, combine
from cosmos3_core.sampling.noise import draw
from cosmos3_core.sampling.schedule import flow
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.encoder import EncodedRequest, latent_shapes
from cosmos3_core.stages.understanding import TextKeyValues
from cosmos3_core.towers import load_tower
from cosmos3_core.weights import LoadReport

WARM_UP_TOKENS = 16


@dataclass(frozen=True)
class Branch:
    """One guidance branch on the device: its text and where the media sit behind it."""

    text: Tensor
    rope: Rotation


@dataclass
class DenoiseTask:
    """A request being denoised.

    Attributes:
        request: what the Encoder sent.
        state: where the run stands; the only thing that changes, and all that a snapshot needs.
        conditional, unconditional: the branches, prepared for the device.
        seconds: wall time of the steps done here.
    """

    request: EncodedRequest
    state: DenoiseState
    conditioning: Conditioning
    noisy: NoisyTokens
    conditional: Branch
    unconditional: Branch | None
    seconds: float = 0.0
    steps_here: int = 0

    @property
    def done(self) -> bool:
        """Whether every step has been made."""
        return self.state.step >= self.request.schedule.steps


class Denoiser:
    """The generation tower of one checkpoint and the loop body around it."""

    def __init__(self, tower: GenerationTower, report: LoadReport, settings: ExecutionSettings) -> None:
        self.tower = tower
        self.report = report
        self.settings = settings

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> Denoiser:
        """Load the generation tower only."""
        tower, report = load_tower(GenerationTower, checkpoint, settings)
        return cls(tower, report, settings)

    def warm_up(self) -> None:
        """Make a step of the smallest request, so that the first real one does not pay for kernels and allocators."""
        config, dtype = self.tower.config, self.tower.proj_in.weight.dtype
        layers, heads = config.num_hidden_layers, config.num_key_value_heads
        text = TextKeyValues("warm-up", torch.zeros(layers, 2, heads, WARM_UP_TOKENS, config.head_dim, dtype=dtype))
        side = config.latent_patch_size
        layout = SequenceLayout(frames=1, height=side, width=side, fps=config.base_fps)
        shapes = latent_shapes(config, layout)
        request = EncodedRequest(
            conditional=text,
            unconditional=text,
            layout=layout,
            conditioning=Conditioning.none(shapes, torch.device("cpu")),
            schedule=flow(steps=1, shift=1.0),
            guidance=Guidance(scale=2.0),
            seed=0,
            noise="torch",
            stochastic=False,
        )
        self.step(self.start(request))

    def start(
        self,
        request: EncodedRequest,
        noise: Mapping[str, Tensor] | None = None,
        state: DenoiseState | None = None,
    ) -> DenoiseTask:
        """Make a task.

        Args:
            request: what the Encoder sent.
            noise: the initial noise per modality instead of what the seed gives.
            state: continue from here instead of from noise.

        Raises:
            RequestError: `noise` lacks a modality or has the wrong size.
        """
        device = self.settings.torch_device
        conditioning = request.conditioning.to(device)
        unconditional = request.unconditional
        return DenoiseTask(
            request=request,
            state=state.map(lambda tensor: tensor.to(device)) if state else self._initial(request, conditioning, noise),
            conditioning=conditioning,
            noisy=noisy_tokens(request.layout, self.tower.config.latent_patch_size, device),
            conditional=self._branch(request, request.conditional),
            unconditional=self._branch(request, unconditional) if unconditional else None,
        )

    def _initial(
        self, request: EncodedRequest, conditioning: Conditioning, noise: Mapping[str, Tensor] | None
    ) -> DenoiseState:
        shapes = latent_shapes(self.tower.config, request.layout)
        drawn = draw(shapes, request.seed, request.noise) if noise is None else _given_noise(noise, shapes)
        latents = {name: x.to(self.settings.torch_device, torch.float32) for name, x in drawn.items()}
        return DenoiseState(0, conditioning.keep(latents))

    def _branch(self, request: EncodedRequest, text: TextKeyValues) -> Branch:
        device, config = self.settings.torch_device, self.tower.config
        positions = media_positions(config, request.layout, text.tokens).to(device)
        return Branch(text.values.to(device), rotation(config, positions, self.tower.proj_in.weight.dtype))

    @torch.no_grad()
    def step(self, task: DenoiseTask) -> Step:
        """Make one denoising step of a task, in place.

        Returns:
            The event that tells how far the task is.
        """
        started = time.perf_counter()
        request, state = task.request, task.state
        velocity = self.velocity(task, request.schedule.timesteps[state.step])
        stochastic = Stochastic(request.seed, request.noise) if request.stochastic else None
        task.state = advance(request.schedule, state, velocity, task.conditioning, stochastic)
        if self.settings.torch_device.type == "cuda":
            torch.cuda.synchronize(self.settings.torch_device)
        seconds = time.perf_counter() - started
        task.seconds += seconds
        task.steps_here += 1
        left = (request.schedule.steps - task.state.step) * task.seconds / task.steps_here
        return Step(task.state.step, request.schedule.steps, seconds, left)

    def velocity(self, task: DenoiseTask, timestep: float) -> Latents:
        """The guided velocity at the task's current latents, fp32 per modality."""
        branches = [task.conditional]
        if task.unconditional is not None and task.request.guidance.active(timestep):
            branches.append(task.unconditional)
        hidden = self.tower.embed(task.state.latents, task.request.layout, task.noisy, timestep)
        outputs = self._run(hidden, branches)
        velocities = [self.tower.velocity(output, task.request.layout, task.noisy) for output in outputs]
        if len(velocities) == 1:
            return velocities[0]
        return combine(velocities[0], velocities[1], task.request.guidance.scale)

    def _run(self, hidden: Tensor, branches: list[Branch]) -> list[Tensor]:
        """The tower on every branch, in one forward or one after the other."""
        if not self.settings.batch_guidance and len(branches) > 1:
            return [output for branch in branches for output in self._run(hidden, [branch])]
        rope = stack_branches([branch.rope for branch in branches])
        stacked = hidden.expand(len(branches), -1, -1)
        return list(self.tower(stacked, rope, [branch.text for branch in branches]))


def _given_noise(noise: Mapping[str, Tensor], shapes: Mapping[Modality, tuple[int, ...]]) -> Latents:
    if set(noise) != set(shapes):
        raise RequestError("noise", f"has {', '.join(noise) or 'nothing'}; expected {', '.join(shapes)}")
    given: Latents = {}
    for name, shape in shapes.items():
        tensor = torch.as_tensor(noise[name])
        if tuple(tensor.shape) not in (shape, (1, *shape)) or not bool(torch.isfinite(tensor).all()):
            reason = f"of {name.value} is {list(tensor.shape)}; expected finite values {list(shape)}"
            raise RequestError("noise", reason)
        given[name] = tensor.reshape(shape)
    return given
