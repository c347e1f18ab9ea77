"""Bytes of weights, tasks and steps on a rank: the formulas against the real modules, cut as the gang cuts them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
from torch import nn

from cosmos3_core.catalog import CATALOG, CatalogEntry
from cosmos3_core.model import generation
from cosmos3_core.model.config import TransformerConfig
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.layout import Modality, SequenceLayout, latent_shapes
from cosmos3_core.model.names import keeps_fp32, reasoner_shapes
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.parallel import guidance, tensor, ulysses
from cosmos3_core.parallel.degrees import Degrees
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.planning.memory import (
    StepShape,
    activation_bytes,
    key_value_bytes,
    own_branches,
    reasoner_bytes,
    replicated_bytes,
    task_bytes,
    understanding_bytes,
    weight_bytes,
)
from cosmos3_core.planning.published import WORKLOADS
from cosmos3_core.sampling.denoise import Conditioning, DenoiseState
from cosmos3_core.sampling.guidance import Guidance
from cosmos3_core.sampling.sampling import Sampling
from cosmos3_core.sampling.schedule import flow
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import TextKeyValues
from cosmos3_core.weights import LoadReport
from tests.live_memory import LiveBytes

Tower = TypeVar("Tower", GenerationTower, UnderstandingTower)
META = torch.device("meta")
LARGEST = WORKLOADS[-1]
# Every size, and one without the heads of actions and sound.
ENTRIES = [CATALOG[f"nvidia/Cosmos3-{name}"] for name in ("Nano", "Super", "Edge", "Super-Text2Image")]
each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
each_split = pytest.mark.parametrize(
    "degrees", [Degrees(), Degrees(2), Degrees(3, 1, 2), Degrees(2, 2, 2), Degrees(8), Degrees(1, 2, 4)], ids=str
)


def on_meta(module: type[Tower], config: TransformerConfig) -> Tower:
    with META:
        return module(config)


def held_bytes(module: nn.Module) -> int:
    return sum(x.numel() * (4 if keeps_fp32(name) else 2) for name, x in module.state_dict().items())


# Steps


@pytest.mark.parametrize(("tokens", "texts"), [(0, (1,)), (1, ()), (1, (1, 1, 1)), (1, (-1,))])
def test_a_step_shape_that_cannot_exist_is_refused(tokens: int, texts: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        StepShape(tokens, texts)


# Weights


@each_entry
def test_a_whole_tower_weighs_what_its_parameters_do(entry: CatalogEntry) -> None:
    tower = on_meta(GenerationTower, entry.config)
    assert weight_bytes(entry.config, Degrees(), 0, 2) == held_bytes(tower)
    assert understanding_bytes(entry.config, 2) == held_bytes(on_meta(UnderstandingTower, entry.config))


@pytest.mark.parametrize(
    ("name", "generation_gb", "reasoner_gb"), [("Nano", 14.0, 17.5), ("Super", 62.5, 66.7), ("Edge", 2.85, 4.9)]
)
def test_the_sizes_are_those_of_the_specification(name: str, generation_gb: float, reasoner_gb: float) -> None:
    """Spec 16."""
    entry = CATALOG[f"nvidia/Cosmos3-{name}"]
    assert weight_bytes(entry.config, Degrees(), 0, 2) / 1e9 == pytest.approx(generation_gb, rel=0.01)
    assert reasoner_bytes(entry.config, entry.vision_parameters, 2) / 1e9 == pytest.approx(reasoner_gb, rel=0.01)


@each_entry
def test_a_reasoner_weighs_what_it_reads(entry: CatalogEntry) -> None:
    read = sum(torch.Size(shape).numel() for shape in reasoner_shapes(entry.config).values())
    assert reasoner_bytes(entry.config, entry.vision_parameters, 2) == 2 * (read + entry.vision_parameters)


@each_entry
@each_split
def test_a_rank_weighs_what_it_is_cut_to(entry: CatalogEntry, degrees: Degrees) -> None:
    config = replace(entry.config, num_hidden_layers=2)
    whole = {name: x.numel() for name, x in on_meta(GenerationTower, config).state_dict().items()}
    for rank in range(degrees.world_size):
        tower = on_meta(GenerationTower, config)
        cut = tensor.apply_tensor_parallel(tower, _mesh(degrees, rank))
        assert weight_bytes(config, degrees, rank, 2) == held_bytes(tower)
        if cut:
            same = {name for name, x in tower.state_dict().items() if name not in cut}
            replicated = sum(whole[name] * (4 if keeps_fp32(name) else 2) for name in same)
            named = replicated_bytes(config, 2)
            assert sum(named.values()) == replicated
            assert {_module(name) for name in same} == named.keys()


def _module(name: str) -> str:
    """`layers.3.self_attn.norm_added_q.weight` to the name that counts for all layers."""
    kept = r"^(layers)\.\d+\.((?:\w+\.)*?\w+)\.weight$"
    return re.sub(kept, r"\1.*.\2", name) if name.startswith("layers.") else name.split(".")[0]


def test_little_is_replicated() -> None:
    for entry in ENTRIES:
        assert sum(replicated_bytes(entry.config, 2).values()) < 0.02 * weight_bytes(entry.config, Degrees(), 0, 2)


def test_ranks_hold_keys_and_values_of_their_heads() -> None:
    config = CATALOG["nvidia/Cosmos3-Nano"].config
    whole = config.key_value_bytes(1000, 2)
    assert key_value_bytes(config, 1000, Degrees(), 2) == whole == 147_456_000
    assert key_value_bytes(config, 1000, Degrees(tp=2, cfg=2, ulysses=4), 2) == whole // 8
    # Five ranks share eight heads, and the most that one has is two.
    assert key_value_bytes(config, 1000, Degrees(ulysses=5), 2) == whole // 4


# Tasks and steps, traced


def _mesh(degrees: Degrees, rank: int = 0) -> Mesh:
    """A place in a gang without the gang."""
    groups: Any = SimpleNamespace(get_group=lambda axis: None)
    return Mesh(degrees, rank, groups)


def _denoiser(config: TransformerConfig, degrees: Degrees, batch_guidance: bool) -> Denoiser:
    mesh = _mesh(degrees)
    with META:
        tower = GenerationTower(config)
    tensor.apply_tensor_parallel(tower, mesh)
    tower.to(torch.bfloat16).time_embedder.float()
    tokens = ulysses.apply_ulysses(tower, mesh)
    settings = ExecutionSettings(device="meta", dtype="bfloat16", batch_guidance=batch_guidance)
    return Denoiser(tower, LoadReport(0, 0), settings, mesh, tokens)


def _request(
    denoiser: Denoiser, layout: SequenceLayout, text_tokens: int, guidance: Guidance | None = None
) -> EncodedRequest:
    config, heads = denoiser.tower.config, denoiser.heads()
    shapes = latent_shapes(config, layout)
    given = tuple(torch.zeros(shapes[Modality.VISION], device=META) for _ in layout.given_weights)
    shape = (config.num_hidden_layers, 2, heads.stop - heads.start, text_tokens, config.head_dim)
    text = TextKeyValues("text", torch.zeros(shape, dtype=torch.bfloat16, device=META))
    return EncodedRequest(
        conditional=text,
        unconditional=text,
        layout=layout,
        conditioning=replace(Conditioning.none(shapes, META), given=given),
        sampling=Sampling(flow(steps=4, shift=1.0), guidance or Guidance(scale=2.0), seed=0),
    )


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other rank, and an attention kernel that makes nothing but its result, as those on GPUs do."""
    nobody = SimpleNamespace(
        **{name: lambda *a, **k: None for name in ("all_reduce", "all_gather", "all_to_all_single", "broadcast")}
    )
    for module in (tensor, ulysses, guidance):
        monkeypatch.setattr(module, "dist", nobody)
    monkeypatch.setattr(generation, "attend", lambda query, key, value, backend: torch.empty_like(query))


def _traced(
    config: TransformerConfig,
    degrees: Degrees,
    batch_guidance: bool,
    layout: SequenceLayout | None = None,
    guidance: Guidance | None = None,
) -> tuple[int, int]:
    """Bytes that a task holds besides text and conditioning, and what a step adds to them; of the largest video."""
    denoiser, layout = _denoiser(config, degrees, batch_guidance), layout or LARGEST.layout(config)
    request = _request(denoiser, layout, text_tokens=8, guidance=guidance)
    shapes = latent_shapes(config, layout)
    with LiveBytes([*denoiser.tower.parameters(), request.conditional.values]) as live:
        state = DenoiseState(0, {name: torch.zeros(shape, device=META) for name, shape in shapes.items()})
        task = denoiser.start(request, state=state)
        del state
        for _ in range(3):
            denoiser.step(task)
        return live.now, live.peak - live.now


def _latents(config: TransformerConfig) -> int:
    layout = LARGEST.layout(config)
    return config.latent_channel * layout.frames * layout.height * layout.width


@each_entry
@pytest.mark.parametrize("batch_guidance", [False, True])
@each_split
def test_tasks_and_steps_take_what_is_traced(
    entry: CatalogEntry, degrees: Degrees, batch_guidance: bool, silent: None
) -> None:
    config = replace(entry.config, num_hidden_layers=2)
    tokens = LARGEST.layout(config).tokens(config.latent_patch_size)
    held, added = _traced(config, degrees, batch_guidance)
    task = task_bytes(config, _latents(config), StepShape(tokens, (0, 0)), degrees, 2)
    given = 2 * 4 * _latents(config)
    assert task == held + given
    formula = activation_bytes(config, StepShape(tokens, (8, 8)), degrees, 2, batch_guidance=batch_guidance)
    # Exact where the widest moment is the MLP's; what attention exchanges is counted for all rows at once.
    assert added <= formula * 1.001
    assert formula <= added * 1.15


@pytest.mark.parametrize("weights", [(1.0,), (0.5, 0.5)], ids=["one control", "two controls"])
@pytest.mark.parametrize("batch_guidance", [False, True])
@each_split
def test_tasks_and_steps_of_a_transfer_take_what_is_traced(
    weights: tuple[float, ...], degrees: Degrees, batch_guidance: bool, silent: None
) -> None:
    config = replace(CATALOG["nvidia/Cosmos3-Nano"].config, num_hidden_layers=2)
    patch = config.latent_patch_size
    layout = replace(LARGEST.layout(config), frames=24, given_weights=weights)
    guidance = Guidance(scale=3.0, control_scale=1.5)
    held, added = _traced(config, degrees, batch_guidance, layout, guidance)
    shapes = latent_shapes(config, layout)
    values = math.prod(shapes[Modality.VISION])
    texts = StepShape(layout.tokens(patch), (0, 0), layout.own_tokens(patch))
    given = len(weights) * values
    task = task_bytes(config, values, texts, degrees, 2, given_values=given)
    # The trace leaves out what the Encoder sent: the given values with their mask, and the whole items.
    # The plan counts the branches of the rank with the most work; rank 0 is that one.
    # It also counts a byte of the mask for each token of the given items, which have none.
    assert task == held + 4 * (2 * values + given) + layout.given_tokens(patch)
    shape = replace(texts, text_tokens=(8, 8))
    formula = activation_bytes(config, shape, degrees, 2, batch_guidance=batch_guidance)
    assert added <= formula * 1.001
    assert formula <= added * 1.25


def test_a_transfer_holds_its_controls_and_two_texts() -> None:
    config = CATALOG["nvidia/Cosmos3-Nano"].config
    step = StepShape(30, (5, 7), uncontrolled_tokens=10)
    assert step.branches == ((30, 5), (30, 7), (10, 5))
    plain = task_bytes(config, 1000, StepShape(30, (5, 7)), Degrees(), 2)
    whole = task_bytes(config, 1000, step, Degrees(), 2, given_values=2000)
    # The third branch has the first one's text; it adds cosines and sines of its own tokens.
    assert whole == plain + 2000 * 4 + 2 * 10 * config.head_dim * 2
    # Of two ranks, the first has the prompt with and without the controls.
    assert own_branches(step, Degrees(cfg=2)) == ((30, 5), (10, 5))
    assert own_branches(StepShape(30, (5, 900), 2), Degrees(cfg=2)) == ((30, 900),)
    assert own_branches(StepShape(30, (5,), uncontrolled_tokens=10), Degrees(cfg=2)) == ((30, 5),)


def test_a_task_holds_the_text_of_its_branches() -> None:
    config = CATALOG["nvidia/Cosmos3-Nano"].config
    without = task_bytes(config, 1000, StepShape(10, (0, 0)), Degrees(), 2)
    assert task_bytes(config, 1000, StepShape(10, (5, 7)), Degrees(), 2) == without + 12 * 147_456
    # With guidance parallelism a rank has one of them; the plan counts the longer.
    alone = task_bytes(config, 1000, StepShape(10, (0,)), Degrees(), 2)
    assert task_bytes(config, 1000, StepShape(10, (5, 7)), Degrees(cfg=2), 2) == alone + 7 * 147_456


def test_more_tasks_at_once_take_more() -> None:
    config = CATALOG["nvidia/Cosmos3-Nano"].config
    one, four = (activation_bytes(config, StepShape(390, (8, 8)), Degrees(), 2, batch) for batch in (1, 4))
    assert 3.9 * one < four < 4.1 * one
