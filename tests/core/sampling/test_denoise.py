"""A run between two steps: saved, resumed, conditioned; and its noise (spec 5.2, 5.6, 5.9)."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.sampling import schedule as schedules
from cosmos3_core.sampling.denoise import (
    FORMAT,
    Conditioning,
    DenoiseState,
    SnapshotError,
    advance,
)
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.noise import draw
from cosmos3_core.sampling.sampling import NoiseSource, Sampling

SHAPES: dict[Modality, tuple[int, ...]] = {
    Modality.VISION: (4, 3, 2, 5),
    Modality.SOUND: (6, 7),
    Modality.ACTION: (8, 5),
}
UNIPC = Sampling(schedules.flow(7, 5.0), Guidance(1.0), seed=7)


def distilled(noise: NoiseSource, seed: int = 7) -> Sampling:
    levels = schedules.fixed((1.0, 0.9375, 0.8333333, 0.625))
    return Sampling(levels, Guidance(1.0), seed, noise, stochastic=True)


def conditioning() -> Conditioning:
    """The first frame and the last three action channels are given."""
    mask = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
    mask[Modality.VISION][:, 0] = 1
    mask[Modality.ACTION][:, 2:] = 1
    return Conditioning(draw(SHAPES, 99, "torch"), mask)


def velocity(latents: Latents, timestep: float, given: Conditioning) -> Latents:
    """A stand-in for the network: smooth, mixes neighbours, zero where a value is given."""
    return {
        name: (torch.sin(x + timestep) + x.roll(1, -1)).where(given.mask[name] == 0, 0.0) for name, x in latents.items()
    }


def start() -> DenoiseState:
    return DenoiseState(0, conditioning().keep(draw(SHAPES, 7, "torch")))


def run(sampling: Sampling, state: DenoiseState, until: int) -> DenoiseState:
    given = conditioning()
    while state.step < until:
        timestep = sampling.schedule.timesteps[state.step]
        state = advance(sampling, state, velocity(state.latents, timestep, given), given)
    return state


def tensors(state: DenoiseState) -> dict[str, Tensor]:
    found = {f"latents.{name}": x for name, x in state.latents.items()}
    for name, solver in state.solver.items():
        found |= {f"clean.{name}.{i}": x for i, x in enumerate(solver.clean)}
        if solver.previous is not None:
            found[f"previous.{name}"] = solver.previous
    return found


def assert_same(one: DenoiseState, other: DenoiseState) -> None:
    assert one.step == other.step
    assert {name: s.order for name, s in one.solver.items()} == {name: s.order for name, s in other.solver.items()}
    ours, theirs = tensors(one), tensors(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
        assert tensor.dtype == theirs[name].dtype


SAMPLERS = [
    pytest.param(UNIPC, id="unipc"),
    pytest.param(distilled("torch"), id="stochastic-torch"),
    pytest.param(distilled("numpy"), id="stochastic-numpy"),
]


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_a_snapshot_is_exact_after_every_step(sampling: Sampling) -> None:
    state = start()
    for step in range(sampling.steps + 1):
        state = run(sampling, state, step)
        assert_same(DenoiseState.from_bytes(state.to_bytes()), state)


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_resuming_from_a_snapshot_changes_no_bit(sampling: Sampling) -> None:
    whole = run(sampling, start(), sampling.steps)
    for pause in range(sampling.steps):
        saved = run(sampling, start(), pause).to_bytes()
        assert_same(run(sampling, DenoiseState.from_bytes(saved), sampling.steps), whole)


def test_a_snapshot_keeps_values_that_are_not_numbers_and_any_layout() -> None:
    latent = torch.tensor([[0.0, -0.0, torch.inf], [-torch.inf, torch.nan, 1e-45]]).T
    copied = DenoiseState.from_bytes(DenoiseState(0, {Modality.VISION: latent}).to_bytes())
    bits = copied.latents[Modality.VISION].view(torch.int32)
    assert torch.equal(bits, latent.contiguous().view(torch.int32))


def snapshot_of_format(version: str) -> bytes:
    metadata = {"format": version, "step": "0", "orders": "{}"}
    return safetensors.torch.save({"vision.latents": torch.zeros(2)}, metadata)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        bytes(100),
        json.dumps({"format": FORMAT}).encode(),
        (2).to_bytes(8, "little") + b"[]",
        (2).to_bytes(8, "little") + b"{}",
        safetensors.torch.save({"vision.latents": torch.zeros(2)}),
        snapshot_of_format("cosmos3.denoise/0"),
        snapshot_of_format(""),
        start().to_bytes()[:40],
    ],
    ids=[
        "empty",
        "short",
        "zeros",
        "json",
        "list",
        "object",
        "tensors",
        "version",
        "no version",
        "cut header",
    ],
)
def test_other_bytes_are_no_snapshot(data: bytes) -> None:
    with pytest.raises(SnapshotError, match="snapshot"):
        DenoiseState.from_bytes(data)


def test_another_format_is_named() -> None:
    assert DenoiseState.from_bytes(snapshot_of_format(FORMAT)).step == 0
    with pytest.raises(SnapshotError, match=r"cosmos3\.denoise/99"):
        DenoiseState.from_bytes(snapshot_of_format("cosmos3.denoise/99"))


def test_a_snapshot_that_lost_its_end_is_no_snapshot() -> None:
    with pytest.raises(SnapshotError):
        DenoiseState.from_bytes(start().to_bytes()[:-4])


def test_given_values_are_put_back_exactly() -> None:
    given, latents = conditioning(), draw(SHAPES, 3, "torch")
    kept = given.keep(latents)
    for name, x in kept.items():
        fixed = given.mask[name] == 1
        assert torch.equal(x[fixed], given.clean[name][fixed])
        assert torch.equal(x[~fixed], latents[name][~fixed])
    assert torch.equal(given.keep(kept)[Modality.VISION], kept[Modality.VISION])


def test_a_mask_may_be_broadcast() -> None:
    mask = torch.zeros(1, 3, 1, 1)
    mask[:, 0] = 1
    given = Conditioning({Modality.VISION: torch.zeros(4, 3, 2, 5)}, {Modality.VISION: mask})
    kept = given.keep({Modality.VISION: torch.ones(4, 3, 2, 5)})[Modality.VISION]
    assert kept.sum(dim=(0, 2, 3)).tolist() == [0, 40, 40]


@pytest.mark.parametrize("sampling", SAMPLERS)
def test_given_values_survive_every_step(sampling: Sampling) -> None:
    given, state = conditioning(), start()
    for step in range(1, sampling.steps + 1):
        state = run(sampling, state, step)
        for name, x in state.latents.items():
            fixed = given.mask[name] == 1
            assert torch.equal(x[fixed], given.clean[name][fixed])


def test_every_modality_is_solved_as_if_it_were_alone() -> None:
    together = run(UNIPC, start(), UNIPC.steps)
    for name in SHAPES:
        alone = run(UNIPC, replace(start(), latents={name: start().latents[name]}), UNIPC.steps)
        assert torch.equal(alone.latents[name], together.latents[name])


def test_a_step_leaves_its_state_alone() -> None:
    given, state = conditioning(), run(UNIPC, start(), 3)
    before = state.map(torch.clone)
    advance(UNIPC, state, velocity(state.latents, 1.0, given), given)
    assert_same(state, before)


def test_a_state_is_mapped_tensor_by_tensor() -> None:
    state = run(UNIPC, start(), 3)
    doubled = state.map(lambda x: 2 * x)
    assert doubled.step == 3
    for name, tensor in tensors(state).items():
        assert torch.equal(tensors(doubled)[name], 2 * tensor)


def test_the_same_seed_draws_the_same_numbers_as_one_torch_generator() -> None:
    generator = torch.Generator().manual_seed(11)
    # The order is vision, sound, action, whatever the order of the shapes.
    noise = draw(dict(reversed(SHAPES.items())), 11, "torch")
    for name, shape in SHAPES.items():
        assert torch.equal(noise[name], torch.randn(shape, generator=generator))


def test_the_numpy_source_starts_anew_for_every_modality() -> None:
    noise = draw(SHAPES, 11, "numpy")
    for name, shape in SHAPES.items():
        expected = np.random.RandomState(11).standard_normal(shape).astype(np.float32)
        assert np.array_equal(noise[name].numpy(), expected)
    first = [x.flatten()[:5].tolist() for x in noise.values()]
    assert first[0] == first[1] == first[2]


@pytest.mark.parametrize(("seed", "taken"), [(-1, 2**32 - 1), (2**32 + 5, 5), (123_456_789, 123_456_789)])
def test_numpy_takes_the_lower_32_bits_of_a_seed(seed: int, taken: int) -> None:
    expected = np.random.RandomState(taken).standard_normal(SHAPES[Modality.SOUND]).astype(np.float32)
    assert np.array_equal(draw(SHAPES, seed, "numpy")[Modality.SOUND].numpy(), expected)


@pytest.mark.parametrize("source", ["torch", "numpy"])
@pytest.mark.parametrize("seed", [0, 1, -1, 2**32 + 5, 2**63 - 1, -(2**63)])
def test_any_seed_draws_one_fixed_noise(source: NoiseSource, seed: int) -> None:
    one, again, other = draw(SHAPES, seed, source), draw(SHAPES, seed, source), draw(SHAPES, 12345, source)
    for name, shape in SHAPES.items():
        assert one[name].shape == shape
        assert one[name].dtype == torch.float32
        assert torch.equal(one[name], again[name])
        assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize("source", ["torch", "numpy"])
def test_the_fixed_step_sampler_adds_other_noise_at_every_step(source: NoiseSource) -> None:
    zero = {Modality.VISION: torch.zeros(50)}
    free = Conditioning(zero, zero)
    sampling = distilled(source, seed=5)
    added = []
    for step in range(3):
        state = advance(sampling, DenoiseState(step, zero), zero, free)
        added.append(state.latents[Modality.VISION] / sampling.schedule.sigmas[step + 1])
        assert state.step == step + 1
        assert not state.solver
    assert not torch.allclose(added[0], added[1])
    assert not torch.allclose(added[1], added[2])
