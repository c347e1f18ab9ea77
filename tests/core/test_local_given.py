"""What is given besides a prompt is used, to the last value: controls, states, soundtracks, pictures to edit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cosmos3_core import GenerationRequest, GenerationResult, LocalPipeline
from cosmos3_core.codecs import pixels
from cosmos3_core.codecs.control import computed
from cosmos3_core.inputs import read_inputs
from cosmos3_core.model.layout import Modality
from cosmos3_core.model.sequence import Latents
from cosmos3_core.resolving.resolve import resolve
from tests.core.media.samples import mp4, tone, wav
from tests.parity.cases import picture

SMALL: dict[str, Any] = {
    "num_inference_steps": 2,
    "seed": 1,
    "prompt": "a robot pours water.",
    "width": 96,
    "height": 64,
}
SOURCE = np.stack([picture(80, 112, seed) for seed in range(5)])
DEPTH, SEG = (np.stack([picture(64, 96, 10 * kind + seed) for seed in range(5)]) for kind in (1, 2))
TRANSFER = SMALL | {"mode": "transfer"}
BOTH: list[dict[str, Any]] = [{"kind": "depth", "video": DEPTH}, {"kind": "seg", "video": SEG, "weight": 3.0}]
POLICY = SMALL | {
    "mode": "policy",
    "image": SOURCE[0],
    "domain_name": "droid_lerobot",
    "raw_action_dim": 8,
    "action_chunk_size": 4,
}
STATE = np.linspace(-0.5, 0.5, 24, dtype=np.float32).reshape(3, 8)
VIDEO = SMALL | {"mode": "text2video", "num_frames": 5, "fps": 24}
BURST = tone(0.25)


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


def asked(fields: dict[str, Any], **others: Any) -> GenerationRequest:
    return GenerationRequest(**fields | others)


def run(pipeline: LocalPipeline, **fields: Any) -> GenerationResult:
    return pipeline.generate(GenerationRequest(**fields))


def latents(pipeline: LocalPipeline, **fields: Any) -> Latents:
    return pipeline.denoise(pipeline.encode(GenerationRequest(**fields))[1])


def vision(pipeline: LocalPipeline, **fields: Any) -> torch.Tensor:
    return latents(pipeline, **fields)[Modality.VISION]


def differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    return float((one - other).abs().max()) > 1e-5


# Controls


def test_one_value_of_a_control_changes_the_video(pipeline: LocalPipeline) -> None:
    changed = DEPTH.copy()
    changed[3, 20:28, 40:48] = 255 - changed[3, 20:28, 40:48]
    before, after = (
        vision(pipeline, **TRANSFER, controls=[{"kind": "depth", "video": video}]) for video in (DEPTH, changed)
    )
    assert differ(before, after)


def test_a_control_of_no_weight_changes_no_bit(pipeline: LocalPipeline) -> None:
    left_out = [BOTH[0], {"kind": "seg", "video": SEG, "weight": 0}, {"kind": "edge", "weight": 0}]
    assert torch.equal(vision(pipeline, **TRANSFER, controls=left_out), vision(pipeline, **TRANSFER, controls=BOTH[:1]))


def test_only_the_ratio_of_weights_counts(pipeline: LocalPipeline) -> None:
    scaled = [control | {"weight": 2.5 * control.get("weight", 1.0)} for control in BOTH]
    first, second = vision(pipeline, **TRANSFER, controls=BOTH), vision(pipeline, **TRANSFER, controls=scaled)
    assert torch.allclose(first, second, atol=1e-5)
    other = [BOTH[0], BOTH[1] | {"weight": 1.0}]
    assert differ(first, vision(pipeline, **TRANSFER, controls=other))


@pytest.mark.parametrize(
    "change",
    [
        {"control_guidance": 3.0},
        {"control_guidance_interval": (0, 800)},
        {"share_vision_temporal_positions": False},
        {"emphasize_control_in_prompt": False},
        {"guidance_scale": 5.0},
        {"negative_prompt": "blurry"},
        {"fps": 12},
    ],
    ids=str,
)
def test_no_number_of_a_transfer_is_ignored(pipeline: LocalPipeline, change: dict[str, Any]) -> None:
    assert differ(vision(pipeline, **TRANSFER, controls=BOTH), vision(pipeline, **TRANSFER | change, controls=BOTH))


@pytest.mark.parametrize(("kind", "strength"), [("edge", "low"), ("blur", "medium")])
def test_a_control_is_computed_from_the_fitted_video(pipeline: LocalPipeline, kind: str, strength: str) -> None:
    request = asked(TRANSFER, video=SOURCE, controls=[{"kind": kind, "strength": strength}])
    resolved, encoded = pipeline.encode(request)
    fitted = pixels.to_pixels(pixels.cover(SOURCE, resolved.canvas, resolved.preset.resize))
    given = computed(request.controls[0], fitted)
    expected = pipeline.encoder.video_encoder.encode(pixels.to_clip(pixels.to_tensor(given)))
    assert torch.equal(encoded.conditioning.given[0], expected)
    with_given = asked(TRANSFER, controls=[{"kind": kind, "video": given}])
    assert torch.equal(pipeline.encode(with_given)[1].conditioning.given[0], expected)


def test_a_short_control_runs_back_and_forth(pipeline: LocalPipeline) -> None:
    short = [{"kind": "depth", "video": DEPTH[:3]}]
    fields = TRANSFER | {"controls": short, "num_video_frames_per_chunk": 5}
    filled = DEPTH[[0, 1, 2, 2, 1]]
    encoded = pipeline.encode(GenerationRequest(**fields))[1]
    expected = pipeline.encode(asked(TRANSFER, controls=[{"kind": "depth", "video": filled}]))[1]
    assert torch.equal(encoded.conditioning.given[0], expected.conditioning.given[0])
    # The video is as long as its control.
    assert run(pipeline, **fields).frames.shape == (3, 64, 96, 3)


# The state of a robot


def test_a_state_and_its_history_are_clean_rows_that_the_answer_leaves_out(pipeline: LocalPipeline) -> None:
    result = run(pipeline, **POLICY, state=STATE)
    rows = result.latents[Modality.ACTION]
    assert rows.shape == (7, 64) and np.array_equal(rows[:3, :8].numpy(), STATE)
    assert not rows[:, 8:].any()
    assert result.action is not None and np.array_equal(result.action, rows[3:, :8].numpy())
    assert result.action.shape == (4, 8) and result.frames.shape[0] == 5


def test_the_mask_of_a_state_row_is_not_ignored(pipeline: LocalPipeline) -> None:
    _, encoded = pipeline.encode(GenerationRequest(**POLICY, state=STATE[:1]))
    assert encoded.conditioning.mask[Modality.ACTION][0].all() and encoded.layout.clean_rows == (0,)
    given = pipeline.denoise(encoded)
    conditioning = encoded.conditioning
    open_mask = conditioning.mask[Modality.ACTION].clone()
    open_mask[0, :8] = 0
    mask = {**conditioning.mask, Modality.ACTION: open_mask}
    unmasked = pipeline.denoise(replace(encoded, conditioning=replace(conditioning, mask=mask)))
    assert differ(given[Modality.ACTION][1:, :8], unmasked[Modality.ACTION][1:, :8])
    layout = replace(encoded.layout, clean_rows=())
    noisy = pipeline.denoise(replace(encoded, layout=layout))
    # The row keeps its value, but the model takes it for noise of the step.
    assert torch.equal(noisy[Modality.ACTION][0], given[Modality.ACTION][0])
    assert differ(given[Modality.ACTION][1:, :8], noisy[Modality.ACTION][1:, :8])


def test_one_value_of_the_history_changes_the_actions(pipeline: LocalPipeline) -> None:
    changed = STATE.copy()
    changed[0, 5] += 0.5
    before, after = (run(pipeline, **POLICY, state=state).action for state in (STATE, changed))
    assert before is not None and after is not None and np.abs(before - after).max() > 1e-5


# A given soundtrack


def with_sound(pipeline: LocalPipeline, sound: Any, **fields: Any) -> GenerationResult:
    return run(pipeline, **VIDEO | fields, sound=sound)


@pytest.mark.parametrize(("samples", "silent"), [(12_000, 0), (7_000, 3_000)])
def test_a_soundtrack_is_cut_or_padded_and_comes_out_as_it_was_given(
    pipeline: LocalPipeline, samples: int, silent: int
) -> None:
    given = BURST[:, :samples]
    result = with_sound(pipeline, given)
    assert result.sound is not None and result.sound.shape == (2, 10_000)
    kept = min(samples, 10_000)
    assert np.array_equal(result.sound[:, :kept], given[:, :kept]) and not result.sound[:, kept:].any()
    assert 10_000 - kept == silent
    # What the model follows is whole latent frames of it.
    frames = result.latents[Modality.SOUND].shape[1]
    fitted = np.pad(given, ((0, 0), (0, max(0, 1920 * frames - samples))))[:, : 1920 * frames]
    expected = pipeline.encoder.sound_encoder.encode(fitted)
    assert frames == 6 and torch.equal(result.latents[Modality.SOUND], expected)


def test_one_burst_of_samples_changes_the_video(pipeline: LocalPipeline) -> None:
    changed = BURST.copy()
    changed[:, 6_000:6_200] = 0.9
    before, after = (with_sound(pipeline, sound).latents[Modality.VISION] for sound in (BURST, changed))
    assert differ(before, after)
    # What is longer than the video is no part of it.
    longer = np.concatenate([BURST, changed], axis=1)
    assert torch.equal(with_sound(pipeline, longer).latents[Modality.VISION], before)


def test_a_soundtrack_of_a_file_is_resampled_to_stereo(pipeline: LocalPipeline) -> None:
    mono = (tone(0.25, 16_000, channels=1).T * 32_767).astype(np.int16)
    result = with_sound(pipeline, wav(mono, 16_000))
    assert result.sound is not None and result.sound.shape == (2, 10_000)
    assert np.array_equal(result.sound[0], result.sound[1])
    expected: NDArray[np.float32] = tone(0.25, 48_000, channels=1)[0, :10_000]
    assert np.corrcoef(result.sound[0], expected)[0, 1] > 0.99
    from_video = with_sound(pipeline, mp4(6, 24, BURST))
    assert from_video.sound is not None and np.corrcoef(from_video.sound[0], BURST[0, :10_000])[0, 1] > 0.98


def test_a_soundtrack_is_followed_by_an_animated_image_too(pipeline: LocalPipeline) -> None:
    fields = {"mode": "image2video", "image": SOURCE[0]}
    followed = with_sound(pipeline, BURST, **fields)
    silent = with_sound(pipeline, np.zeros_like(BURST), **fields)
    assert torch.equal(followed.latents[Modality.VISION][:, :1], silent.latents[Modality.VISION][:, :1])
    assert differ(followed.latents[Modality.VISION], silent.latents[Modality.VISION])


# A picture to edit


def test_an_edited_picture_follows_the_given_one(pipeline: LocalPipeline) -> None:
    fields = SMALL | {"mode": "image2image"}
    changed = SOURCE[0].copy()
    changed[10:14, 30:34] = 255 - changed[10:14, 30:34]
    before, after = (vision(pipeline, **fields, image=image) for image in (SOURCE[0], changed))
    assert differ(before, after)
    result = run(pipeline, **fields, image=SOURCE[0])
    assert result.frames.shape == (1, 64, 96, 3) and result.latents[Modality.VISION].shape == (48, 1, 4, 6)


def test_the_given_picture_stands_before_the_edited_one_in_time(pipeline: LocalPipeline) -> None:
    request = asked(SMALL, mode="image2image", image=SOURCE[0])
    _, encoded = pipeline.encode(request)
    expected = pipeline.encoder.video_encoder.encode(
        pixels.picture(SOURCE[:1], resolve(request, pipeline.checkpoint.facts, read_inputs(request)).canvas, "lanczos")
    )
    assert len(encoded.conditioning.given) == 1 and encoded.conditioning.given[0].shape == expected.shape
    assert not encoded.layout.shared_times
    together = replace(encoded.layout, shared_times=True)
    moved = pipeline.denoise(replace(encoded, layout=together))
    assert differ(pipeline.denoise(encoded)[Modality.VISION], moved[Modality.VISION])


READ_ONLY: dict[str, dict[str, Any]] = {
    "picture": SMALL | {"mode": "image2video", "num_frames": 5, "image": SOURCE[0]},
    "video": SMALL | {"mode": "video2video", "num_frames": 5, "video": SOURCE, "condition_frame_indexes_vision": [0]},
    "reversed video": SMALL | {"mode": "video2video", "num_frames": 5, "video": SOURCE[::-1]},
    "controls": TRANSFER | {"num_frames": 5, "controls": BOTH},
    "computed control": TRANSFER | {"num_frames": 5, "controls": [{"kind": "edge"}], "video": SOURCE},
    "soundtrack": VIDEO | {"sound": np.zeros((2, 4800), np.float32)},
    "mirrored soundtrack": VIDEO | {"sound": np.zeros((2, 4800), np.float32)[::-1]},
    "state": POLICY | {"state": STATE},
    "actions": POLICY | {"mode": "forward_dynamics", "action": np.zeros((4, 8), np.float32)},
    "reversed actions": POLICY | {"mode": "forward_dynamics", "action": np.zeros((4, 8), np.float32)[::-1]},
}


@pytest.mark.parametrize("case", READ_ONLY)
@pytest.mark.filterwarnings("error:.*not writable:UserWarning")
def test_arrays_that_cannot_be_written_are_taken(case: str, pipeline: LocalPipeline) -> None:
    fields = {name: _frozen(value) for name, value in READ_ONLY[case].items()}
    pipeline.encode(GenerationRequest(**fields))


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return [_frozen(part) for part in value]
    if isinstance(value, dict):
        return {name: _frozen(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        value = value.view()
        value.setflags(write=False)
    return value
