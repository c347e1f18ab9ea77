"""Every way to split a Generator gives the single-rank result; a rank holds and reads only its part."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CosmosError
from cosmos3_core.model.layout import Modality, SequenceLayout
from cosmos3_core.parallel.degrees import Degrees, ParallelError
from cosmos3_core.planning.memory import replicated_bytes, weight_bytes
from cosmos3_core.sampling.denoise import Conditioning, DenoiseState, SnapshotError
from cosmos3_core.sampling.schedule import flow
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.weights import stored_tensors
from tests.adapters import attention_modules, write_peft
from tests.parallel.rank_process import PLANS, WHOLE

ROOT = Path(__file__).parents[2]
RANKS = max(plan.world_size for plan in PLANS)
TOLERANCE = 1e-5
each_plan = pytest.mark.parametrize("plan", PLANS, ids=str)

COMMON: dict[str, Any] = {"prompt": "a robot arm pours water.", "negative_prompt": "blurry", "num_inference_steps": 6}
REQUESTS: dict[str, dict[str, Any]] = {
    # 13 x 9 latent pixels and 3 frames are 7 x 5 x 3 = 105 tokens.
    "video": {"mode": "text2video", "width": 208, "height": 144, "num_frames": 9, "guidance_scale": 6.0, "seed": 1},
    "sound": {
        "mode": "text2video",
        "width": 144,
        "height": 96,
        "num_frames": 13,
        "generate_sound": True,
        "guidance_scale": 6.0,
        "seed": 2,
    },
    "policy": {
        "mode": "policy",
        "width": 176,
        "height": 112,
        "domain_name": "bridge_orig_lerobot",
        "action_chunk_size": 8,
        "seed": 3,
        "guidance_scale": 3.0,
    },
    "one token": {"mode": "text2image", "width": 64, "height": 64, "guidance_scale": 6.0, "seed": 4},
    "no guidance": {"mode": "text2image", "width": 144, "height": 80, "guidance_scale": 1.0, "seed": 5},
    "guidance in an interval": {
        "mode": "text2image",
        "width": 144,
        "height": 80,
        "guidance_scale": 6.0,
        "guidance_interval": (400.0, 900.0),
        "seed": 6,
    },
    "adapters": {
        "mode": "text2video",
        "width": 144,
        "height": 96,
        "num_frames": 5,
        "generate_sound": True,
        "guidance_scale": 6.0,
        "seed": 7,
        "adapters": [{"name": "style", "weight": 0.7}, {"name": "look", "weight": -0.5}],
    },
}


@dataclass(frozen=True)
class Runs:
    """What the ranks wrote."""

    folder: Path
    alone: dict[str, dict[str, torch.Tensor]]
    cases: dict[str, EncodedRequest]
    bytes_alone: dict[str, int]
    adapter_bytes: int

    def of(self, plan: Degrees) -> list[dict[str, Any]]:
        """The results of a plan, rank by rank."""
        return [
            torch.load(self.folder / f"{plan} rank {rank}.pt", weights_only=False) for rank in range(plan.world_size)
        ]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as the ranks have: the order of sums depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def runs(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "checkpoint").symlink_to(nano)
    config = Checkpoint.find(nano).transformer_config
    adapters = {
        "style": write_peft(folder / "adapters" / "style", config, seed=1),
        "look": write_peft(folder / "adapters" / "look", config, attention_modules(config), rank=3, seed=2),
    }
    pipeline = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32", adapters=adapters)
    image = None
    cases, alone = {}, {}
    for name, fields in REQUESTS.items():
        if fields["mode"] == "policy":
            image = torch.randint(0, 255, (112, 176, 3), dtype=torch.uint8, generator=torch.manual_seed(0)).numpy()
            fields = {**fields, "image": image}
        _, encoded = pipeline.encode(GenerationRequest(**COMMON, **fields))
        cases[name] = encoded = only_one_token(encoded) if name == "one token" else encoded
        alone[name] = {str(modality): x for modality, x in pipeline.denoise(encoded).items()}
    torch.save(cases, folder / "cases.pt")
    command = [sys.executable, "-m", "tests.parallel.rank_process", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = [subprocess.Popen([*command, str(rank)], cwd=ROOT, env=environment) for rank in range(RANKS)]
    try:
        assert [process.wait(timeout=300) for process in processes] == [0] * RANKS
        weights = {name: parameter.nbytes for name, parameter in pipeline.denoiser.tower.named_parameters()}
        yield Runs(folder, alone, cases, weights, pipeline.denoiser.report.adapter_bytes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def only_one_token(request: EncodedRequest) -> EncodedRequest:
    """Fewer tokens than ranks: smaller than any size that a client may ask for."""
    layout = SequenceLayout(frames=1, height=2, width=2, fps=24.0)
    shapes = {Modality.VISION: (48, 1, 2, 2)}
    return replace(request, layout=layout, conditioning=Conditioning.none(shapes, torch.device("cpu")))


@each_plan
@pytest.mark.parametrize("case", REQUESTS)
def test_a_sharded_run_equals_the_single_rank(runs: Runs, plan: Degrees, case: str) -> None:
    for rank, result in enumerate(runs.of(plan)):
        found, expected = result["latents"][case], runs.alone[case]
        assert found.keys() == expected.keys()
        for modality, wanted in expected.items():
            error = float((found[modality] - wanted).norm() / wanted.norm())
            assert error <= TOLERANCE, (rank, modality, error)


@each_plan
@pytest.mark.parametrize("case", WHOLE)
def test_a_rank_that_shares_nothing_has_the_single_ranks_bits(runs: Runs, plan: Degrees, case: str) -> None:
    for result in runs.of(plan):
        for modality, wanted in runs.alone[case].items():
            found = result["latents"][f"{case}, whole"][modality]
            assert float((found - wanted).norm() / wanted.norm()) <= TOLERANCE
            # Sums over tensor-parallel ranks are in another order; without them nothing differs.
            assert plan.tp > 1 or torch.equal(found, wanted)


@each_plan
def test_all_ranks_hold_the_same_latents(runs: Runs, plan: Degrees) -> None:
    first, *others = (result["latents"] for result in runs.of(plan))
    for other in others:
        for case, latents in first.items():
            assert all(torch.equal(other[case][modality], x) for modality, x in latents.items()), case


@each_plan
def test_a_rank_holds_and_reads_its_part(runs: Runs, plan: Degrees, nano: Path) -> None:
    config = Checkpoint.find(str(nano)).transformer_config
    stored = {name: tensor.nbytes for name, tensor in stored_tensors(nano / "transformer").items()}
    whole = sum(replicated_bytes(config, 4).values())
    for rank, result in enumerate(runs.of(plan)):
        assert sum(result["bytes_held"].values()) == weight_bytes(config, plan, rank, 4)
        # Stored in another dtype than held, but the same part of each.
        shares = {name: held / runs.bytes_alone[name] for name, held in result["bytes_held"].items()}
        assert result["bytes_read"] == sum(stored[name] * share for name, share in shares.items())
        replicated = {name: n for name, n in result["bytes_held"].items() if n == runs.bytes_alone[name]}
        assert plan.tp == 1 or sum(replicated.values()) == whole, sorted(replicated)


@each_plan
def test_the_ranks_of_a_split_hold_every_weight_once(runs: Runs, plan: Degrees, nano: Path) -> None:
    config = Checkpoint.find(str(nano)).transformer_config
    replicated = sum(replicated_bytes(config, 4).values())
    split = sum(weight_bytes(config, plan, rank, 4) - replicated for rank in range(plan.world_size))
    assert split * plan.tp == plan.world_size * (sum(runs.bytes_alone.values()) - replicated)


@each_plan
def test_a_rank_holds_its_part_of_the_adapters(runs: Runs, plan: Degrees) -> None:
    held = [result["adapter_bytes"] for result in runs.of(plan)]
    assert all(0 < one <= runs.adapter_bytes for one in held)
    # Of each split pair one matrix is split, and what is not split is whole everywhere.
    assert plan.tp > 1 or held == [runs.adapter_bytes] * plan.world_size
    assert plan.tp == 1 or max(held) < runs.adapter_bytes < sum(held)


def test_the_cases_are_what_they_claim(runs: Runs) -> None:
    assert [use.name for use in runs.cases["adapters"].adapters] == ["look", "style"]
    tokens = {name: case.layout.tokens(2) for name, case in runs.cases.items()}
    assert tokens["video"] == 105 and tokens["one token"] == 1
    assert runs.cases["sound"].layout.sound_frames and runs.cases["policy"].layout.action_rows
    sampling = runs.cases["guidance in an interval"].sampling
    assert {len(sampling.guidance.active(t)) for t in sampling.schedule.timesteps} == {1, 2}


def test_tasks_that_share_a_pass_come_to_the_same(runs: Runs, nano: Path) -> None:
    denoiser = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32").denoiser
    video = runs.cases["video"]
    requests = [replace(video, sampling=replace(video.sampling, seed=seed)) for seed in range(3)]
    apart, together = ([denoiser.start(request) for request in requests] for _ in range(2))
    denoiser.step(together[0])
    for task in apart:
        while not task.done:
            denoiser.step(task)
    while ready := [task for task in together if not task.done]:
        denoiser.step_together(ready)
    for one, other in zip(apart, together, strict=True):
        wanted, found = one.state.latents[Modality.VISION], other.state.latents[Modality.VISION]
        assert float((found - wanted).norm() / wanted.norm()) <= TOLERANCE


def test_a_state_that_was_parked_goes_on_to_the_same_bits(runs: Runs, nano: Path) -> None:
    denoiser = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32").denoiser
    task = denoiser.start(runs.cases["sound"])
    for _ in range(3):
        denoiser.step(task)
    resumed = denoiser.start(
        runs.cases["sound"], state=DenoiseState.from_bytes(task.state.map(torch.Tensor.cpu).to_bytes())
    )
    resumed.state.check({name: tuple(x.shape) for name, x in task.state.latents.items()}, task.request.sampling)
    while not resumed.done:
        denoiser.step(resumed)
    assert all(torch.equal(resumed.state.latents[Modality(name)], x) for name, x in runs.alone["sound"].items())


@pytest.mark.parametrize(("steps", "fields"), [(2, {}), (6, {"solver": {}}), (6, {"step": -1})])
def test_a_state_of_another_request_is_refused(runs: Runs, nano: Path, steps: int, fields: dict[str, Any]) -> None:
    denoiser = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32").denoiser
    task = denoiser.start(runs.cases["one token"])
    for _ in range(3):
        denoiser.step(task)
    shapes = {name: tuple(x.shape) for name, x in task.state.latents.items()}
    sampling = task.request.sampling
    task.state.check(shapes, sampling)
    with pytest.raises(SnapshotError):
        replace(task.state, **fields).check(shapes, replace(sampling, schedule=flow(steps=steps, shift=1.0)))


def test_too_many_ranks_are_refused_with_the_reason(nano: Path, edge: Path) -> None:
    config = Checkpoint.find(str(nano)).transformer_config
    Degrees(tp=2, cfg=2, ulysses=2).check(config)
    with pytest.raises(ParallelError, match="tp 2 x ulysses 3 = 6 ranks share 4 K/V heads"):
        Degrees(tp=2, ulysses=3).check(config)


@pytest.mark.parametrize("fields", [{"tp": 0}, {"cfg": 3}, {"ulysses": -1}])
def test_degrees_that_make_no_sense(fields: dict[str, int]) -> None:
    with pytest.raises(CosmosError, match=next(iter(fields))):
        Degrees(**fields)
