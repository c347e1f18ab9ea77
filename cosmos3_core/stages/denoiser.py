"""The Denoiser stage: an encoded request to latents, one step at a time.

It holds the generation tower only, or one rank's part of it. A task is a small resumable value plus what can be
computed from it, so a scheduler may run tasks in any order, stop one between two steps, save it and go on elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosmos3_core.adapters.applied import Adapters
from cosmos3_core.adapters.file import read_adapters
from cosmos3_core.arrays import tensor_of
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import RequestError
from cosmos3_core.model.generation import ControlBlend, GenerationTower
from cosmos3_core.model.layout import Modality, SequenceLayout, latent_shapes
from cosmos3_core.model.rope import Rotation, rotation, stack_branches
from cosmos3_core.model.sequence import Latents, NoisyTokens, media_positions, noisy_tokens
from cosmos3_core.parallel.guidance import BranchOwners
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.parallel.tensor import apply_tensor_parallel
from cosmos3_core.parallel.ulysses import TokenSplit, apply_ulysses
from cosmos3_core.request import Step
from cosmos3_core.sampling.denoise import Conditioning, DenoiseState, advance
from cosmos3_core.sampling.guidance import Branch, Guidance, combine
from cosmos3_core.sampling.noise import draw
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import flow
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.towers import load_tower
from cosmos3_core.stages.understanding import TextKeyValues
from cosmos3_core.weights import LoadReport

WARM_UP_TOKENS = 16


@dataclass(frozen=True)
class BranchInputs:
    """What one guidance branch reads on the device.

    Attributes:
        text: keys and values of its text.
        rope: where the media sit behind it.
        layout: shape of its generation sequence.
        given: vision latents of the items that it is given whole.
    """

    text: Tensor
    rope: Rotation
    layout: SequenceLayout
    given: tuple[Tensor, ...]


@dataclass
class DenoiseTask:
    """A request being denoised.

    Attributes:
        request: what the Encoder sent.
        state: where the run stands; the only thing that changes, and all that a snapshot needs.
        branches: those that any step may need, prepared for the device; None for one that other ranks compute.
        spread: whether ranks share it by guidance branch and by tokens; otherwise each computes all of it, which is
            faster for small shapes. Weights that are split by tensor parallelism stay split.
        seconds, steps_here: wall time and number of the steps done here.
    """

    request: EncodedRequest
    state: DenoiseState
    conditioning: Conditioning
    noisy: NoisyTokens
    branches: Mapping[Branch, BranchInputs | None]
    spread: bool = True
    seconds: float = 0.0
    steps_here: int = 0

    @property
    def done(self) -> bool:
        """Whether every step has been made."""
        return self.state.step >= self.request.sampling.steps

    @property
    def timestep(self) -> float:
        """The timestep of the next step, 0 to 1000."""
        return self.request.sampling.schedule.timesteps[self.state.step]

    @property
    def active_branches(self) -> tuple[Branch, ...]:
        """The branches that the next step needs."""
        return self.request.sampling.guidance.active(self.timestep)


Wanted = tuple[DenoiseTask, Branch]
"""A branch of a task whose velocity a step needs."""


class Denoiser:
    """The generation tower of one checkpoint, or a rank's part of it, and the loop body around it."""

    def __init__(
        self,
        tower: GenerationTower,
        report: LoadReport,
        settings: ExecutionSettings,
        mesh: Mesh | None = None,
        tokens: TokenSplit | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self.tower = tower
        self.report = report
        self.settings = settings
        self.mesh = mesh or Mesh()
        self.owners = BranchOwners(self.mesh)
        self.tokens = tokens or TokenSplit(self.mesh)
        self.adapters = adapters or Adapters()

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        settings: ExecutionSettings,
        mesh: Mesh | None = None,
        adapters: Mapping[str, str | os.PathLike[str]] | None = None,
    ) -> Denoiser:
        """Load the generation tower only, and of it and of the adapters only what this rank of `mesh` holds.

        Args:
            checkpoint: the checkpoint to read from.
            settings: device, dtype and memory limit.
            mesh: this rank's place; by default it is on its own.
            adapters: safetensors files with LoRA, or their folders, by the names that requests use.

        Raises:
            ParallelError: the checkpoint cannot be split that way.
            CheckpointError: it or an adapter cannot be read, or does not fit.
        """
        mesh = mesh or Mesh()
        mesh.degrees.check(checkpoint.transformer_config)
        files = read_adapters(adapters or {}, checkpoint.transformer_config)
        tower, report = load_tower(
            GenerationTower, checkpoint, settings, lambda tower: apply_tensor_parallel(tower, mesh)
        )
        loaded = Adapters.load(files, tower, mesh, settings.memory_limit_bytes)
        report = replace(report, adapter_bytes=loaded.nbytes)
        return cls(tower, report, settings, mesh, apply_ulysses(tower, mesh), loaded)

    def heads(self, spread: bool = True) -> slice:
        """K/V heads of the understanding tower that this rank reads, for a task that is spread or one that is not."""
        degrees = self.mesh.degrees
        heads = degrees.attention_heads if spread else degrees.tensor_heads
        return heads(self.tower.config, self.mesh.rank)

    def computes(self, branch: Branch, guidance: Guidance, spread: bool = True) -> bool:
        """Whether this rank computes a branch of a task with some guidance, and so needs its keys and values."""
        return not spread or self.owners.owns(guidance.branches.index(branch))

    def reads(self, guidance: Guidance, *, negative: bool, spread: bool = True) -> bool:
        """Whether this rank computes any branch of the prompt, or of the negative text."""
        branches = (branch for branch in guidance.branches if (branch is Branch.UNCONDITIONAL) is negative)
        return any(self.computes(branch, guidance, spread) for branch in branches)

    def warm_up(self) -> None:
        """Make a step of the smallest request, so that the first real one does not pay for kernels and allocators."""
        config, dtype = self.tower.config, self.tower.proj_in.weight.dtype
        heads = self.heads().stop - self.heads().start
        shape = (config.num_hidden_layers, 2, heads, WARM_UP_TOKENS, config.head_dim)
        text = TextKeyValues("warm-up", torch.zeros(shape, dtype=dtype))
        side = config.latent_patch_size
        layout = SequenceLayout(frames=1, height=side, width=side, fps=config.base_fps)
        shapes = latent_shapes(config, layout)
        request = EncodedRequest(
            conditional=text,
            unconditional=text,
            layout=layout,
            conditioning=Conditioning.none(shapes, torch.device("cpu")),
            sampling=Sampling(flow(steps=1, shift=1.0), Guidance(scale=2.0), seed=0),
        )
        self.step(self.start(request))

    def start(
        self,
        request: EncodedRequest,
        noise: Mapping[str, Tensor] | None = None,
        state: DenoiseState | None = None,
        spread: bool = True,
    ) -> DenoiseTask:
        """Make a task.

        Args:
            request: what the Encoder sent; its keys and values are those of `heads`, and of a branch that other ranks
                compute they may be on the meta device.
            noise: the initial noise per modality instead of what the seed gives.
            state: continue from here instead of from noise.
            spread: whether ranks share the task's branches and tokens; the same on all of them.

        Raises:
            RequestError: `noise` lacks a modality or has the wrong size, or an adapter is not here.
        """
        self.adapters.check(request.adapters)
        device = self.settings.torch_device
        conditioning = request.conditioning.to(device)
        guidance = request.sampling.guidance
        return DenoiseTask(
            request=request,
            state=state.map(lambda tensor: tensor.to(device)) if state else self._initial(request, conditioning, noise),
            conditioning=conditioning,
            noisy=noisy_tokens(request.layout, self.tower.config.latent_patch_size, device),
            branches={
                branch: self._branch(branch, request, conditioning) if self.computes(branch, guidance, spread) else None
                for branch in guidance.branches
            },
            spread=spread,
        )

    def _initial(
        self, request: EncodedRequest, conditioning: Conditioning, noise: Mapping[str, Tensor] | None
    ) -> DenoiseState:
        shapes = latent_shapes(self.tower.config, request.layout)
        sampling = request.sampling
        drawn = draw(shapes, sampling.seed, sampling.noise) if noise is None else _given_noise(noise, shapes)
        latents = {name: x.to(self.settings.torch_device, torch.float32) for name, x in drawn.items()}
        return DenoiseState(0, conditioning.keep(latents))

    def _branch(self, branch: Branch, request: EncodedRequest, conditioning: Conditioning) -> BranchInputs:
        device, config = self.settings.torch_device, self.tower.config
        text = request.unconditional if branch is Branch.UNCONDITIONAL else request.conditional
        assert text is not None, "the guidance needs a negative text, and the Encoder sent none"
        layout, given = request.layout, conditioning.given
        if branch is Branch.UNCONTROLLED:
            layout, given = layout.without_given(), ()
        positions = media_positions(config, layout, text.tokens).to(device)
        rope = rotation(config, positions, self.tower.proj_in.weight.dtype)
        return BranchInputs(text.values.to(device), rope, layout, given)

    def step(self, task: DenoiseTask) -> Step:
        """Make one denoising step of a task, in place.

        Returns:
            The event that tells how far the task is.
        """
        return self.step_together([task])[0]

    @torch.no_grad()
    def step_together(self, tasks: Sequence[DenoiseTask]) -> list[Step]:
        """Make one step of several tasks in one forward. They have equally many tokens, and all are spread or none.

        With one task this equals `step`; with several, the last bits differ from those of separate steps.
        """
        started = time.perf_counter()
        for task, velocity in zip(tasks, self._guided(tasks), strict=True):
            state = advance(task.request.sampling, task.state, velocity, task.conditioning)
            task.state = state.shared() if len(tasks) > 1 else state
        if self.settings.torch_device.type == "cuda":
            torch.cuda.synchronize(self.settings.torch_device)
        seconds = time.perf_counter() - started
        return [_stepped(task, seconds) for task in tasks]

    def _guided(self, tasks: Sequence[DenoiseTask]) -> Iterator[Latents]:
        """The guided velocity of each task at its current latents, fp32 per modality; the same on every rank."""
        wanted = [(task, branch) for task in tasks for branch in task.active_branches]
        self.tokens.active = all(task.spread for task in tasks)
        mine = [pair for pair in wanted if pair[0].branches[pair[1]] is not None]
        computed: dict[tuple[int, Branch], Latents] = {}
        for together in self._forwards(mine):
            with self.adapters.apply(together[0][0].request.adapters):
                computed |= self._velocities(together)
        for task in tasks:
            guidance = task.request.sampling.guidance
            shared = {
                branch: self.owners.share(
                    computed.get((id(task), branch)), guidance.branches.index(branch), task.state.latents
                )
                if task.spread
                else computed[id(task), branch]
                for branch in task.active_branches
            }
            yield combine(shared, guidance)

    def _forwards(self, wanted: Sequence[Wanted]) -> list[list[Wanted]]:
        """The branches of each forward pass: those of one length and with the same adapters together.

        Without guidance batching each branch is on its own.
        """
        forwards: dict[object, list[Wanted]] = {}
        patch = self.tower.config.latent_patch_size
        for task, branch in wanted:
            inputs = task.branches[branch]
            assert inputs is not None
            key = inputs.layout.tokens(patch) if self.settings.batch_guidance else branch
            forwards.setdefault((key, task.request.adapters), []).append((task, branch))
        return list(forwards.values())

    def _velocities(self, together: Sequence[Wanted]) -> dict[tuple[int, Branch], Latents]:
        """Velocities by task and branch, in one forward pass."""
        patch = self.tower.config.latent_patch_size
        pairs = [(task, branch, inputs) for task, branch in together if (inputs := task.branches[branch]) is not None]
        # The branches of a task that are of one length have the same tokens, which are embedded once.
        tasks = {id(task): (task, inputs) for task, _, inputs in pairs}
        embedded = {
            key: self.tower.embed(task.state.latents, inputs.layout, task.noisy, task.timestep, inputs.given)
            for key, (task, inputs) in tasks.items()
        }
        outputs = self.tower(
            torch.stack([embedded[id(task)] for task, _, _ in pairs]),
            stack_branches([inputs.rope for _, _, inputs in pairs]),
            [inputs.text for _, _, inputs in pairs],
            [ControlBlend.of(inputs.layout, patch) for _, _, inputs in pairs],
        )
        return {
            (id(task), branch): self.tower.velocity(output, inputs.layout, task.noisy)
            for (task, branch, inputs), output in zip(pairs, outputs, strict=True)
        }


def _stepped(task: DenoiseTask, seconds: float) -> Step:
    task.seconds += seconds
    task.steps_here += 1
    done, count = task.state.step, task.request.sampling.steps
    return Step(done, count, seconds, (count - done) * task.seconds / task.steps_here)


def _given_noise(noise: Mapping[str, Tensor], shapes: Mapping[Modality, tuple[int, ...]]) -> Latents:
    if set(noise) != set(shapes):
        raise RequestError("noise", f"has {', '.join(noise) or 'nothing'}; expected {', '.join(shapes)}")
    given: Latents = {}
    for name, shape in shapes.items():
        values: Any = noise[name]
        tensor = tensor_of(values) if isinstance(values, np.ndarray) else torch.as_tensor(values)
        if tuple(tensor.shape) not in (shape, (1, *shape)) or not bool(torch.isfinite(tensor).all()):
            reason = f"of {name.value} is {list(tensor.shape)}; expected finite values {list(shape)}"
            raise RequestError("noise", reason)
        given[name] = tensor.reshape(shape)
    return given
