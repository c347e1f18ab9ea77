"""A rank on its own, with an object store that is this process: tasks come, stop, are saved and go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from cosmos3_core import GenerationRequest, LocalPipeline
from cosmos3_core.codecs.preview import fit_preview_map
from cosmos3_core.media.stills import decode_image
from cosmos3_core.model.sequence import sha256_of
from cosmos3_core.provenance import Precision
from cosmos3_core.stages.encoded import EncodedRequest
from cosmos3_core.stages.understanding import TextKeyValues
from deployments.generator.rank import Rank
from deployments.settings.generator import GeneratorSettings
from deployments.settings.model import ModelSettings
from deployments.wire.handoff import publish, publish_conditioning
from deployments.wire.messages import ClipDescription, EncodedMessage, HandoffLost, KeyValuesReference, LatentsMessage
from tests.manifests import encode_facts

CLIP = ClipDescription("text2video", 96, 64, 5, 24.0, None, 48_000, 0, 0)


@pytest.fixture(autouse=True)
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node"))


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


@pytest.fixture
def rank(nano: Path) -> Rank:
    generator = GeneratorSettings(device="cpu", dtype="float32")
    rank = Rank(ModelSettings(name="m", checkpoint=str(nano), generator=generator), 0)
    facts = rank.load(None)
    assert (facts.node, facts.device) == ("node", "cpu") and facts.weight_bytes > 0
    return rank


def encoded(pipeline: LocalPipeline, seed: int = 1, **fields: Any) -> EncodedRequest:
    given: dict[str, Any] = {"mode": "text2video", "width": 96, "height": 64, "num_frames": 5, **fields}
    return pipeline.encode(GenerationRequest(prompt="a cup", num_inference_steps=6, seed=seed, **given))[1]


def reference(text: TextKeyValues) -> KeyValuesReference:
    return KeyValuesReference(text.key, text.tokens, publish(text.values))


def message_of(request: EncodedRequest, **fields: Any) -> EncodedMessage:
    conditioning, nbytes = publish_conditioning(request.conditioning)
    return EncodedMessage(
        conditional=reference(request.conditional),
        unconditional=None if request.unconditional is None else reference(request.unconditional),
        conditioning=conditioning,
        conditioning_bytes=nbytes,
        layout=request.layout,
        sampling=request.sampling,
        clip=CLIP,
        facts=encode_facts(),
        **fields,
    )


def finished(rank: Rank, task: str, steps: int) -> dict[str, str]:
    return ended(rank, task, steps).sha256


def ended(rank: Rank, task: str, steps: int) -> LatentsMessage:
    for _ in range(steps):
        rank.step([task])
    return rank.finish(task)


def test_a_task_ends_as_in_one_process(pipeline: LocalPipeline, rank: Rank) -> None:
    request = encoded(pipeline)
    begun = rank.begin("a", message_of(request), None)
    assert begun.step == 0 and begun.fetched_bytes > 0
    assert finished(rank, "a", 6) == sha256_of(pipeline.denoise(request))
    assert rank.begin("b", message_of(request), None).fetched_bytes == 0
    rank.drop("b")
    assert rank.stats()["resident_tasks"] == 0


def test_a_task_that_was_evicted_goes_on_to_the_same_bits(pipeline: LocalPipeline, rank: Rank) -> None:
    request = encoded(pipeline, generate_sound=True)
    message = message_of(request)
    rank.begin("a", message, None)
    rank.step(["a"])
    rank.step(["a"])
    rank.evict("a")
    assert (rank.stats()["resident_tasks"], rank.stats()["parked_tasks"]) == (0, 1)
    other = encoded(pipeline, seed=2)
    rank.begin("other", message_of(other), None)
    assert finished(rank, "other", 6) == sha256_of(pipeline.denoise(other))
    assert rank.begin("a", message, None).step == 2
    assert finished(rank, "a", 4) == sha256_of(pipeline.denoise(request))
    assert rank.stats()["parked_tasks"] == 0


def test_an_evicted_task_that_is_dropped_leaves_nothing(pipeline: LocalPipeline, rank: Rank) -> None:
    rank.begin("a", message_of(encoded(pipeline)), None)
    rank.evict("a")
    rank.drop("a")
    assert rank.stats()["parked_tasks"] == 0 == rank.stats()["resident_tasks"]


def test_another_rank_goes_on_from_a_snapshot(pipeline: LocalPipeline, rank: Rank, nano: Path, tmp_path: Path) -> None:
    request = encoded(pipeline)
    message, uri = message_of(request), f"file://{tmp_path}/snapshots/a.safetensors"
    rank.begin("a", message, uri)
    for _ in range(3):
        rank.step(["a"])
    assert rank.save("a", uri) == 3
    assert rank.save("gone", uri) == 0
    other = Rank(rank.model, 0)
    other.load(None)
    assert other.begin("a", message, uri).step == 3
    other.step(["a"])
    other.evict("a")
    # Also while it is evicted.
    assert other.save("a", uri) == 4
    assert other.begin("a", message, uri).step == 4
    rank.drop("a")
    assert rank.begin("a", message, uri).step == 4
    for one, resumed in ((other, (3,)), (rank, (3, 4))):
        latents = ended(one, "a", 2)
        assert latents.sha256 == sha256_of(pipeline.denoise(request))
        # Steps at which a snapshot was read, not those at which the task was evicted.
        assert latents.facts.resumed_at_step == resumed


def test_what_a_rank_reports_about_a_result(pipeline: LocalPipeline, rank: Rank) -> None:
    message = message_of(encoded(pipeline))
    for task in "abc":
        rank.begin(task, message, None, spread=task != "c")
    rank.step(["a", "b"])
    together, alone = (ended(rank, task, steps).facts for task, steps in (("a", 5), ("c", 6)))
    assert (together.shared_steps, alone.shared_steps) == (1, 0)
    assert together.plan.spread and not alone.plan.spread
    assert alone.precision == Precision.of(pipeline.settings)
    # The count survives an eviction.
    rank.evict("b")
    rank.begin("b", message, None)
    assert ended(rank, "b", 5).facts.shared_steps == 1


@pytest.mark.parametrize("content", ["nothing", "noise", "another request's"])
def test_a_snapshot_that_does_not_fit_is_not_used(
    content: str, pipeline: LocalPipeline, rank: Rank, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    uri = f"file://{path}"
    if content == "noise":
        path.write_bytes(b"\0" * 100)
    if content == "another request's":
        rank.begin("b", message_of(encoded(pipeline, width=64)), None)
        rank.step(["b"])
        rank.save("b", uri)
    request = encoded(pipeline)
    assert rank.begin("a", message_of(request), uri).step == 0
    assert finished(rank, "a", 6) == sha256_of(pipeline.denoise(request))


def test_previews_follow_the_first_step(pipeline: LocalPipeline, rank: Rank) -> None:
    colours = fit_preview_map(pipeline.encoder.video_encoder)
    rank.begin("a", message_of(encoded(pipeline)), None)
    assert rank.preview("a", colours) is None and rank.preview("gone", colours) is None
    rank.step(["a"])
    jpeg = rank.preview("a", colours)
    assert jpeg is not None and decode_image(jpeg).shape == (64, 96, 3)


def test_what_the_encoder_sent_may_be_gone(
    pipeline: LocalPipeline, rank: Rank, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_: Any) -> Any:
        raise ray.exceptions.ObjectLostError("0" * 56, None, "")

    message = message_of(encoded(pipeline))
    monkeypatch.setattr(ray, "get", lost)
    with pytest.raises(HandoffLost, match="ObjectLostError"):
        rank.begin("a", message, None)
    assert rank.stats()["resident_tasks"] == 0
