"""Generations in parts: each goes on from the last frames of the one before it, with the next seed (spec 8.7, 9.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cosmos3_core import GenerationRequest, GenerationResult, LocalPipeline, RequestError
from cosmos3_core.codecs import pixels
from cosmos3_core.inputs import read_inputs
from cosmos3_core.model.layout import Modality
from cosmos3_core.request import Event, Step
from cosmos3_core.resolving.resolve import resolve
from tests.parity.cases import picture

SIZE: dict[str, Any] = {"width": 96, "height": 64, "num_inference_steps": 2, "prompt": "turn left.", "seed": 5}
ACTION = SIZE | {"domain_name": "av", "action_chunk_size": 4}
IMAGE = picture(64, 96, 1)
CLIP = np.stack([picture(64, 96, seed) for seed in range(9)])
ROWS = np.random.default_rng(0).normal(0, 0.4, (8, 9)).astype(np.float32)
FORWARD = ACTION | {"mode": "forward_dynamics", "image": IMAGE}
POLICY = ACTION | {"mode": "policy", "image": IMAGE}
INVERSE = ACTION | {"mode": "inverse_dynamics", "video": CLIP}
TRANSFER = SIZE | {"mode": "transfer", "num_video_frames_per_chunk": 5}


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


def run(pipeline: LocalPipeline, **fields: Any) -> GenerationResult:
    return pipeline.generate(GenerationRequest(**fields))


def decoded(pipeline: LocalPipeline, latents: Tensor) -> Tensor:
    """All frames before they are rounded."""
    return torch.cat(list(pipeline.decoder.video.decode(latents)), dim=2)


def second_part(pipeline: LocalPipeline, tail: Tensor, **fields: Any) -> Tensor:
    """Vision latents of the second part of a request, made from the last frames of the first."""
    request = GenerationRequest(**fields)
    inputs = read_inputs(request)
    encoded = pipeline.encoder.encode(resolve(request, pipeline.checkpoint.facts, inputs), inputs, 1, tail)
    assert encoded.sampling.seed == fields["seed"] + 1
    return pipeline.denoise(encoded)[Modality.VISION]


def starts_with(latents: Tensor, pipeline: LocalPipeline, tail: Tensor) -> bool:
    return torch.equal(latents[:, :1], pipeline.encoder.video_encoder.encode(tail))


@pytest.mark.parametrize(
    ("first", "whole"),
    [
        (FORWARD | {"action": ROWS[:4]}, FORWARD | {"action": ROWS}),
        (POLICY, POLICY | {"num_frames": 9}),
    ],
    ids=["forward dynamics", "policy"],
)
def test_a_rollout_goes_on_from_its_last_frame_before_rounding(
    pipeline: LocalPipeline, first: dict[str, Any], whole: dict[str, Any]
) -> None:
    opening, result = run(pipeline, **first), run(pipeline, **whole)
    latents = result.latents[Modality.VISION]
    assert torch.equal(latents[:, :2], opening.latents[Modality.VISION])
    tail = decoded(pipeline, latents[:, :2])[:, :, -1:]
    assert starts_with(latents[:, 2:], pipeline, tail)
    assert not starts_with(latents[:, 2:], pipeline, pixels.to_clip(pixels.to_tensor(opening.frames[-1:])))
    assert torch.equal(latents[:, 2:], second_part(pipeline, tail, **whole))
    rest = pixels.to_pixels(decoded(pipeline, latents[:, 2:]))
    assert result.frames.shape == (9, 64, 96, 3)
    assert np.array_equal(result.frames, np.concatenate([opening.frames, rest[1:]]))


def test_each_chunk_of_given_actions_moves_its_own_part(pipeline: LocalPipeline) -> None:
    changed = ROWS.copy()
    changed[6, 2] += 0.5
    before, after = (run(pipeline, **FORWARD, action=rows).latents for rows in (ROWS, changed))
    assert torch.equal(before[Modality.ACTION][:, :9], torch.from_numpy(ROWS))
    assert torch.equal(before[Modality.VISION][:, :2], after[Modality.VISION][:, :2])
    assert float((before[Modality.VISION][:, 2:] - after[Modality.VISION][:, 2:]).abs().max()) > 1e-5


def test_the_actions_of_a_policy_are_joined(pipeline: LocalPipeline) -> None:
    first, whole = run(pipeline, **POLICY).action, run(pipeline, **POLICY, num_frames=9).action
    assert first is not None and whole is not None and whole.shape == (8, 9)
    assert np.array_equal(whole[:4], first) and not np.array_equal(whole[4:], first)


def test_actions_of_a_long_video_are_inferred_stretch_by_stretch(pipeline: LocalPipeline) -> None:
    whole = run(pipeline, **INVERSE, num_frames=9)
    stretches = [run(pipeline, **INVERSE | {"video": CLIP[at : at + 5], "seed": 5 + at // 4}) for at in (0, 4)]
    assert whole.action is not None and whole.action.shape == (8, 9)
    rows = [result.action for result in stretches if result.action is not None]
    assert np.array_equal(whole.action, np.concatenate(rows))
    assert whole.frames.shape == (9, 64, 96, 3)


def test_a_video_that_is_shorter_than_a_chunk_is_answered_for_what_is_there(pipeline: LocalPipeline) -> None:
    fields = {name: value for name, value in INVERSE.items() if name != "action_chunk_size"}
    result = run(pipeline, **fields | {"video": CLIP[:7]})
    assert result.action is not None and result.action.shape == (4, 9) and result.request.num_frames == 5


def depth(first: int, last: int) -> list[dict[str, Any]]:
    return [{"kind": "depth", "video": CLIP[first:last]}]


def test_a_long_transfer_goes_on_from_the_frames_before(pipeline: LocalPipeline) -> None:
    whole = run(pipeline, **TRANSFER, controls=depth(0, 8))
    opening = run(pipeline, **TRANSFER, controls=depth(0, 5))
    latents = whole.latents[Modality.VISION]
    assert torch.equal(latents[:, :2], opening.latents[Modality.VISION])
    tail = decoded(pipeline, latents[:, :2])[:, :, -1:]
    assert starts_with(latents[:, 2:], pipeline, tail)
    # The second part is followed to the end of the control, and what is beyond it is cut off.
    rest = pixels.to_pixels(decoded(pipeline, latents[:, 2:]))
    assert len(rest) == 5 and np.array_equal(whole.frames, np.concatenate([opening.frames, rest[1:4]]))


def test_each_part_follows_its_stretch_of_the_control(pipeline: LocalPipeline) -> None:
    request = GenerationRequest(**TRANSFER | {"controls": depth(0, 8)})
    inputs = read_inputs(request)
    resolved = resolve(request, pipeline.checkpoint.facts, inputs)
    tail = torch.zeros(1, 3, 1, 64, 96)
    given = [
        pipeline.encoder.encode(resolved, inputs, part, tail if part else None).conditioning.given[0]
        for part in range(2)
    ]
    for latents, order in zip(given, ([0, 1, 2, 3, 4], [4, 5, 6, 7, 7]), strict=True):
        clip = pixels.cover(CLIP[order], resolved.canvas, resolved.preset.resize)
        assert torch.equal(latents, pipeline.encoder.video_encoder.encode(clip))


def test_parts_without_overlap_are_requests_of_their_own(pipeline: LocalPipeline) -> None:
    whole = run(pipeline, **TRANSFER, controls=depth(0, 9), num_conditional_frames=0)
    alone = run(pipeline, **TRANSFER, controls=depth(0, 5))
    latents = whole.latents[Modality.VISION]
    assert torch.equal(latents[:, :2], alone.latents[Modality.VISION])
    assert whole.frames.shape[0] == 9
    later = run(pipeline, **TRANSFER | {"seed": 6}, controls=[{"kind": "depth", "video": CLIP[[5, 6, 7, 8, 8]]}])
    assert torch.equal(latents[:, 2:], later.latents[Modality.VISION])


def test_the_first_part_opens_with_frames_of_the_video(pipeline: LocalPipeline) -> None:
    fields = TRANSFER | {"controls": depth(0, 9), "video": CLIP[::-1]}
    encoded = pipeline.encode(GenerationRequest(**fields, num_first_chunk_conditional_frames=1))[1]
    first = pipeline.encoder.video_encoder.encode(pixels.to_clip(pixels.to_tensor(CLIP[-1:])))
    result = run(pipeline, **fields, num_first_chunk_conditional_frames=1)
    assert encoded.layout.clean_frames == (0,) and result.frames.shape[0] == 9
    assert torch.equal(result.latents[Modality.VISION][:, :1], first)


def test_several_frames_are_taken_over(pipeline: LocalPipeline) -> None:
    fields = TRANSFER | {"num_video_frames_per_chunk": 9, "num_conditional_frames": 5}
    control = [{"kind": "depth", "video": np.concatenate([CLIP, CLIP[:4]])}]
    result = run(pipeline, **fields, controls=control)
    latents = result.latents[Modality.VISION]
    assert latents.shape[1] == 6 and result.frames.shape[0] == 13
    tail = decoded(pipeline, latents[:, :3])[:, :, -5:]
    assert torch.equal(latents[:, 3:5], pipeline.encoder.video_encoder.encode(tail))


def test_steps_are_counted_over_all_parts(pipeline: LocalPipeline) -> None:
    events: list[Event] = []
    result = pipeline.generate(GenerationRequest(**FORWARD, action=ROWS), on_event=events.append)
    steps = [event for event in events if isinstance(event, Step)]
    assert [(step.index, step.count) for step in steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert steps[1].seconds_left > 0 and steps[-1].seconds_left == 0
    assert set(result.seconds) == {"encode", "denoise", "decode"}
    assert [part["start"] for part in result.manifest.resolved["parts"]] == [0, 4]


def test_noise_is_given_for_each_part(pipeline: LocalPipeline) -> None:
    request = GenerationRequest(**FORWARD, action=ROWS)
    drawn = pipeline.generate(request)
    shapes = {"vision": (48, 2, 4, 6), "action": (4, 64)}
    noises = []
    for seed in (5, 6):
        generator = torch.Generator().manual_seed(seed)
        noises.append({name: torch.randn(shape, generator=generator) for name, shape in shapes.items()})
    given = pipeline.generate(request, noises)
    assert given.latents_sha256 == drawn.latents_sha256
    with pytest.raises(RequestError, match="noise is given for 1 parts; this request is made in 2"):
        pipeline.generate(request, noises[0])
