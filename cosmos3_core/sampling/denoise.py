"""The state of a denoising run between two steps: small, inspectable, serialisable, resumable.

It holds tensors and a step index and knows no model; `stages.Denoiser` computes velocities and calls `advance`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.sampling.noise import draw_for_step
from cosmos3_core.sampling.sampling import SOLVER_ORDER, Sampling
from cosmos3_core.sampling.solver import SolverState, unipc_step
from cosmos3_core.sampling.stochastic import stochastic_step

FORMAT = "cosmos3.denoise/1"


class SnapshotError(ValueError):
    """A snapshot is not ours or was written by another format version."""


@dataclass(frozen=True)
class History:
    """The history of a state that its tensors do not record.

    Attributes:
        resumed_at: steps at which it was taken up from a snapshot.
        shared_steps: steps made in one forward pass with other requests, whose last bits depend on those.
    """

    resumed_at: tuple[int, ...] = ()
    shared_steps: int = 0


@dataclass(frozen=True)
class DenoiseState:
    """Where a run stands: `step` steps are done.

    Attributes:
        step: number of finished steps.
        latents: the current samples, fp32.
        solver: UniPC history per modality; empty for the stochastic sampler.
        history: how this state was reached; it does not affect the result.
    """

    step: int
    latents: Latents
    solver: Mapping[Modality, SolverState] = field(default_factory=dict)
    history: History = History()

    def resumed(self) -> DenoiseState:
        """The same state, taken up from a snapshot."""
        return replace(self, history=replace(self.history, resumed_at=(*self.history.resumed_at, self.step)))

    def shared(self) -> DenoiseState:
        """The same state, whose last step was made together with other requests'."""
        return replace(self, history=replace(self.history, shared_steps=self.history.shared_steps + 1))

    def map(self, change: Callable[[Tensor], Tensor]) -> DenoiseState:
        """The same state with every tensor changed, for example moved to a device."""
        solver = {
            name: SolverState(
                previous=None if state.previous is None else change(state.previous),
                clean=tuple(change(clean) for clean in state.clean),
                order=state.order,
            )
            for name, state in self.solver.items()
        }
        return DenoiseState(self.step, {name: change(x) for name, x in self.latents.items()}, solver, self.history)

    def check(self, shapes: Mapping[Modality, tuple[int, ...]], sampling: Sampling) -> None:
        """Refuse the state of another request.

        Args:
            shapes: the shape of each of the request's latents.
            sampling: the request's; the stochastic sampler keeps no history.

        Raises:
            SnapshotError: a modality is missing or has another shape, or the state cannot be one of its steps.
        """
        lacks_history = self.step and not sampling.stochastic and set(self.solver) != set(shapes)
        if not 0 <= self.step <= sampling.steps or lacks_history:
            reason = f"it holds step {self.step} with a history of {len(self.solver)}, of {sampling.steps} steps"
            raise SnapshotError(reason)
        found = {name: tuple(latent.shape) for name, latent in self.latents.items()}
        if found != dict(shapes):
            raise SnapshotError(f"it holds latents of shapes {found}, and the request has {dict(shapes)}")

    def to_bytes(self) -> bytes:
        """The whole state as a safetensors file, exact to the bit."""
        tensors: dict[str, Tensor] = {}
        orders: dict[str, int] = {}
        for name, latent in self.latents.items():
            tensors[f"{name}.latents"] = latent.contiguous()
        for name, state in self.solver.items():
            orders[name] = state.order
            if state.previous is not None:
                tensors[f"{name}.previous"] = state.previous.contiguous()
            for index, clean in enumerate(state.clean):
                tensors[f"{name}.clean.{index}"] = clean.contiguous()
        metadata = {"format": FORMAT, "step": str(self.step), "orders": json.dumps(orders)}
        return safetensors.torch.save(tensors, metadata | {"history": json.dumps(asdict(self.history))})

    @classmethod
    def from_bytes(cls, data: bytes) -> DenoiseState:
        """Read what `to_bytes` wrote.

        Raises:
            SnapshotError: other bytes, or another format version.
        """
        try:
            length = int.from_bytes(data[:8], "little")
            metadata = dict(json.loads(data[8 : 8 + length])["__metadata__"])
            if metadata["format"] != FORMAT:
                raise SnapshotError(f"snapshot is of format {metadata['format']!r}; this version reads {FORMAT}")
            tensors = safetensors.torch.load(data)
            orders = {Modality(name): int(order) for name, order in json.loads(metadata["orders"]).items()}
            step = int(metadata["step"])
            # Snapshots of earlier versions have none.
            known = json.loads(metadata.get("history", "{}"))
            history = History(tuple(known.get("resumed_at", ())), int(known.get("shared_steps", 0)))
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SnapshotError):
                raise
            raise SnapshotError(f"not a whole {FORMAT} snapshot: {error}") from error
        latents = {m: tensors[f"{m}.latents"] for m in Modality if f"{m}.latents" in tensors}
        solver = {}
        for name, order in orders.items():
            clean = tuple(tensors[k] for i in range(SOLVER_ORDER) if (k := f"{name}.clean.{i}") in tensors)
            solver[name] = SolverState(tensors.get(f"{name}.previous"), clean, order)
        return cls(step, latents, solver, history)


@dataclass(frozen=True)
class Conditioning:
    """What the caller gave.

    Attributes:
        clean: the given values, fp32.
        mask: 1 where a value is given, else 0 (broadcastable, fp32).
        given: the vision latents of each item that is given whole, fp32 `[48, frames, height, width]`.
    """

    clean: Latents
    mask: Latents
    given: tuple[Tensor, ...] = ()

    @classmethod
    def none(cls, shapes: Mapping[Modality, tuple[int, ...]], device: torch.device) -> Conditioning:
        """Nothing given: latents of these shapes are all noise."""
        zeros = {name: torch.zeros(shape, device=device) for name, shape in shapes.items()}
        return cls(zeros, {name: x.clone() for name, x in zeros.items()})

    def keep(self, latents: Latents) -> Latents:
        """`latents` with the given values put back exactly (spec 5.2)."""
        return {name: x.where(self.mask[name] == 0, self.clean[name]) for name, x in latents.items()}

    def to(self, device: torch.device) -> Conditioning:
        """The same on another device."""
        move = {n: x.to(device) for n, x in self.clean.items()}
        mask = {n: x.to(device) for n, x in self.mask.items()}
        return Conditioning(move, mask, tuple(x.to(device) for x in self.given))


def advance(sampling: Sampling, state: DenoiseState, velocity: Latents, conditioning: Conditioning) -> DenoiseState:
    """One solver step for every modality; clean values are restored afterwards.

    Args:
        sampling: how the request is sampled.
        state: the state the velocity was computed at.
        velocity: guided velocity per modality, fp32, zero at clean positions.
        conditioning: the given values.
    """
    latents: Latents = {}
    solver: dict[Modality, SolverState] = {}
    fresh: Latents = {}
    if sampling.stochastic:
        shapes = {name: tuple(x.shape) for name, x in state.latents.items()}
        fresh = draw_for_step(shapes, sampling.seed, state.step, sampling.noise)
    for name, sample in state.latents.items():
        if sampling.stochastic:
            noise = fresh[name].to(sample.device)
            latents[name] = stochastic_step(sampling.schedule, state.step, sample, velocity[name], noise)
        else:
            before = state.solver.get(name, SolverState())
            latents[name], solver[name] = unipc_step(sampling.schedule, state.step, before, sample, velocity[name])
    return DenoiseState(state.step + 1, conditioning.keep(latents), solver, state.history)
