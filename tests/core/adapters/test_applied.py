"""Adapters on a tower: as if their products were in its weights, and without a trace where they are not asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.adapters.use import AdapterUse
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CheckpointError, RequestError
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.sequence import Latents, sha256_of
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.denoiser import Denoiser
from cosmos3_core.stages.encoded import EncodedRequest
from tests.adapters import ALPHA, RANK, attention_modules, every_module, matrices, tensors, write_adapter, write_peft

TOLERANCE = 1e-5
STYLE, LOOK = AdapterUse(name="style", weight=0.8), AdapterUse(name="look", weight=-0.5)
SETTINGS = ExecutionSettings(device="cpu", dtype="float32")
FIELDS: dict[str, Any] = {
    "mode": "text2video",
    "prompt": "a robot arm pours water.",
    "width": 96,
    "height": 64,
    "num_frames": 5,
    "num_inference_steps": 3,
    "guidance_scale": 4.0,
}


def adapters_of(folder: Path, checkpoint: Path) -> dict[str, Path]:
    """`style`, of every module, and `look`, of the projections around attention."""
    config = Checkpoint.find(checkpoint).transformer_config
    return {
        "style": write_peft(folder / "style", config, seed=1),
        "look": write_peft(folder / "look", config, attention_modules(config), rank=2, seed=2),
    }


@pytest.fixture(scope="module")
def adapters(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return adapters_of(tmp_path_factory.mktemp("adapters"), nano)


@pytest.fixture(scope="module")
def pipeline(nano: Path, adapters: dict[str, Path]) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", adapters=adapters)


@pytest.fixture(scope="module")
def plain(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def encoded(pipeline: LocalPipeline) -> EncodedRequest:
    """A request with sound, which needs the most modules."""
    return pipeline.encode(GenerationRequest(**FIELDS, generate_sound=True))[1]


def using(request: EncodedRequest, *uses: AdapterUse) -> EncodedRequest:
    return replace(request, adapters=uses)


def difference(found: Latents, expected: Latents) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[name] - x).norm() / x.norm()) for name, x in expected.items())


def merge(tower: GenerationTower, pairs: Mapping[str, tuple[Tensor, Tensor]], factor: float) -> None:
    """Put some matrices into a tower's weights."""
    for module, (down, up) in pairs.items():
        weight: Any = tower.get_submodule(module).weight
        weight += factor * (up.double() @ down.double()).float()


def merged(checkpoint: Path, *uses: AdapterUse) -> Denoiser:
    """A Denoiser whose weights have `style` and `look` in them."""
    denoiser = Denoiser.from_checkpoint(Checkpoint.find(checkpoint), SETTINGS)
    config = denoiser.tower.config
    modules = {"style": every_module(config), "look": attention_modules(config)}
    ranks, seeds = {"style": RANK, "look": 2}, {"style": 1, "look": 2}
    for use in uses:
        pairs = matrices(config, modules[use.name], ranks[use.name], seeds[use.name])
        merge(denoiser.tower, pairs, use.weight * ALPHA / ranks[use.name])
    return denoiser


def denoised(denoiser: Denoiser, request: EncodedRequest) -> Latents:
    task = denoiser.start(request)
    while not task.done:
        denoiser.step(task)
    return task.state.latents


@pytest.mark.parametrize("uses", [(STYLE,), (LOOK,), (LOOK, STYLE)], ids=lambda uses: " ".join(u.name for u in uses))
def test_adapters_equal_weights_with_their_products(
    uses: tuple[AdapterUse, ...], nano: Path, pipeline: LocalPipeline, encoded: EncodedRequest
) -> None:
    found, base = pipeline.denoise(using(encoded, *uses)), pipeline.denoise(encoded)
    assert difference(found, denoised(merged(nano, *uses), encoded)) <= TOLERANCE
    assert difference(found, base) > 1e-2


def test_edge_takes_adapters_too(edge: Path, tmp_path: Path) -> None:
    pipeline = LocalPipeline.from_pretrained(edge, device="cpu", dtype="float32", adapters=adapters_of(tmp_path, edge))
    _, request = pipeline.encode(GenerationRequest(**FIELDS, adapters=(STYLE, LOOK)))
    found = pipeline.denoise(request)
    assert difference(found, denoised(merged(edge, LOOK, STYLE), using(request))) <= TOLERANCE


@pytest.mark.parametrize("half", ["down", "up"])
def test_one_value_of_a_matrix_matters(
    half: str, pipeline: LocalPipeline, encoded: EncodedRequest, tmp_path: Path
) -> None:
    config = pipeline.checkpoint.transformer_config
    pairs = matrices(config, attention_modules(config), rank=2, seed=2)
    down, up = pairs["layers.0.self_attn.add_v_proj"]
    (down if half == "down" else up)[0, 0] += 1.0
    changed = write_adapter(tmp_path, tensors(pairs), {"r": 2, "lora_alpha": ALPHA})
    denoiser = Denoiser.from_checkpoint(pipeline.checkpoint, SETTINGS, adapters={"look": changed})
    asked = using(encoded, LOOK)
    assert difference(denoised(denoiser, asked), pipeline.denoise(asked)) > 1e-5


def test_the_weight_matters(pipeline: LocalPipeline, encoded: EncodedRequest) -> None:
    weak, strong = (pipeline.denoise(using(encoded, AdapterUse(name="look", weight=weight))) for weight in (0.5, 0.6))
    assert difference(weak, strong) > 1e-4


def test_a_weight_of_0_changes_no_bit(pipeline: LocalPipeline, plain: LocalPipeline) -> None:
    asked = GenerationRequest(**FIELDS, adapters=(AdapterUse(name="style", weight=0),))
    found = pipeline.generate(asked)
    assert found.request.adapters == ()
    assert found.latents_sha256 == plain.generate(GenerationRequest(**FIELDS)).latents_sha256
    assert found.manifest.adapters == {}


def test_requests_in_turn_have_the_bits_of_each_alone(
    pipeline: LocalPipeline, plain: LocalPipeline, encoded: EncodedRequest
) -> None:
    requests = [encoded, using(encoded, STYLE), encoded, using(encoded, LOOK, STYLE)]
    tasks = [pipeline.denoiser.start(request) for request in requests]
    while not all(task.done for task in tasks):
        for task in tasks:
            pipeline.denoiser.step(task)
    in_turn = [sha256_of(task.state.latents) for task in tasks]
    assert in_turn[0] == in_turn[2] == sha256_of(plain.denoise(encoded))
    assert in_turn[1] == sha256_of(pipeline.denoise(requests[1]))
    assert in_turn[3] == sha256_of(pipeline.denoise(requests[3]))


def test_tasks_of_other_adapters_share_no_pass(
    pipeline: LocalPipeline, encoded: EncodedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser, rows = pipeline.denoiser, []
    forward = denoiser.tower.forward

    def counted(hidden: Tensor, *others: Any) -> Tensor:
        rows.append(len(hidden))
        return forward(hidden, *others)

    monkeypatch.setattr(denoiser.tower, "forward", counted)
    requests = [using(encoded, STYLE), encoded, using(encoded, STYLE)]
    together = [denoiser.start(request) for request in requests]
    denoiser.step_together(together)
    # Two branches of two tasks, and of one.
    assert sorted(rows) == [2, 4]
    for request, task in zip(requests, together, strict=True):
        alone = denoiser.start(request)
        denoiser.step(alone)
        assert difference(task.state.latents, alone.state.latents) <= TOLERANCE


def test_a_step_that_fails_leaves_no_adapter_applied(
    pipeline: LocalPipeline, encoded: EncodedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any) -> Tensor:
        raise RuntimeError("out of memory")

    task = pipeline.denoiser.start(using(encoded, STYLE))
    monkeypatch.setattr(pipeline.denoiser.tower, "forward", failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        pipeline.denoiser.step(task)
    assert pipeline.denoiser.adapters.applied == ()


def test_the_manifest_names_adapters(pipeline: LocalPipeline, adapters: dict[str, Path]) -> None:
    made = pipeline.generate(GenerationRequest(**FIELDS, adapters=(STYLE,)))
    (name, applied), *others = made.manifest.adapters.items()
    content = (adapters["style"] / "adapter_model.safetensors").read_bytes()
    assert (name, applied.weight, others) == ("style", 0.8, [])
    assert applied.sha256 == hashlib.sha256(content).hexdigest()
    assert str(adapters["style"]) not in made.manifest.model_dump_json()


def test_an_unknown_adapter_is_refused_before_anything_is_computed(
    pipeline: LocalPipeline, plain: LocalPipeline, encoded: EncodedRequest
) -> None:
    with pytest.raises(RequestError, match="adapters names 'other'; this model has look, style"):
        pipeline.encode(GenerationRequest(**FIELDS, adapters=(AdapterUse(name="other"),)))
    with pytest.raises(RequestError, match="this model has no adapters"):
        plain.denoiser.start(using(encoded, STYLE))


def test_framework_names_give_the_same_bits(
    nano: Path, pipeline: LocalPipeline, encoded: EncodedRequest, tmp_path: Path
) -> None:
    config = pipeline.checkpoint.transformer_config
    names = {"add_q_proj": "q_proj_moe_gen", "add_k_proj": "k_proj_moe_gen", "add_v_proj": "v_proj_moe_gen"}
    names["to_add_out"] = "o_proj_moe_gen"
    pairs = matrices(config, attention_modules(config), rank=2, seed=2)
    stem = {module: module.rpartition(".") for module in pairs}
    renamed = {f"{stem[module][0]}.{names[stem[module][2]]}": pair for module, pair in pairs.items()}
    folder = write_adapter(tmp_path, tensors(renamed, "net.language_model.model."), {"r": 2, "lora_alpha": ALPHA})
    denoiser = Denoiser.from_checkpoint(pipeline.checkpoint, SETTINGS, adapters={"look": folder})
    assert sha256_of(denoised(denoiser, using(encoded, LOOK))) == sha256_of(pipeline.denoise(using(encoded, LOOK)))


def test_memory_is_counted(nano: Path, adapters: dict[str, Path], pipeline: LocalPipeline) -> None:
    denoiser = pipeline.denoiser
    held = sum(parameter.nbytes for parameter in denoiser.tower.parameters())
    config = denoiser.tower.config
    values = sum(
        down.numel() + up.numel()
        for down, up in [
            *matrices(config, every_module(config)).values(),
            *matrices(config, attention_modules(config), rank=2).values(),
        ]
    )
    assert denoiser.report.adapter_bytes == 4 * values
    checkpoint = Checkpoint.find(nano)
    enough, short = (replace(SETTINGS, memory_limit_bytes=held + 4 * values - less) for less in (0, 1))
    Denoiser.from_checkpoint(checkpoint, enough, adapters=adapters)
    with pytest.raises(CheckpointError, match=r"the adapters look, style do not fit on cpu: .* beside the weights"):
        Denoiser.from_checkpoint(checkpoint, short, adapters=adapters)


def test_matrices_have_the_dtype_of_their_weights(nano: Path, adapters: dict[str, Path]) -> None:
    settings = ExecutionSettings(device="cpu", dtype="bfloat16")
    pipeline = LocalPipeline(Checkpoint.find(nano), settings, {"style": adapters["style"]})
    config = pipeline.checkpoint.transformer_config
    # The time embedding stays in fp32, and its adapter with it.
    expected = sum(
        (down.numel() + up.numel()) * (4 if module.startswith("time_embedder.") else 2)
        for module, (down, up) in matrices(config, every_module(config)).items()
    )
    assert pipeline.denoiser.report.adapter_bytes == expected
    found, base = (pipeline.generate(GenerationRequest(**FIELDS, adapters=uses)).latents for uses in ((STYLE,), ()))
    assert difference(found, base) > 1e-2


def test_values_that_are_not_finite_are_refused(nano: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.find(nano)
    pairs = matrices(checkpoint.transformer_config, ["proj_in"])
    pairs["proj_in"][0][0, 0] = float("nan")
    folder = write_adapter(tmp_path, tensors(pairs))
    with pytest.raises(CheckpointError, match=r"adapter style: .*: proj_in holds values that are not finite"):
        Denoiser.from_checkpoint(checkpoint, SETTINGS, adapters={"style": folder})
