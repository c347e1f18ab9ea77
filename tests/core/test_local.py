"""The pipeline as a whole: what each stage holds, what changes the output, what is reported."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosmos3_core import CheckpointError, GenerationRequest, GenerationResult, LocalPipeline, RequestError
from cosmos3_core.model.layout import Modality
from cosmos3_core.request import Event, Finished, Started, Step
from examples import assets
from tests.parity.cases import picture


def on_canvas(resolution: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with a resolution instead of a size."""
    return {name: value for name, value in fields.items() if name not in ("width", "height")} | {
        "resolution": resolution
    }


SMALL: dict[str, Any] = {"num_inference_steps": 3, "seed": 1, "prompt": "a robot pours water into a glass."}
VIDEO = SMALL | {"mode": "text2video", "num_frames": 5, "width": 128, "height": 96}
ACTION = SMALL | {"width": 96, "height": 80, "domain_name": "av", "action_chunk_size": 8}
FORWARD = ACTION | {"mode": "forward_dynamics", "image": picture(96, 160, 1), "action": np.full((8, 9), 0.2)}
CLIP = np.stack([picture(96, 160, seed) for seed in range(9)])
INVERSE = ACTION | {"mode": "inverse_dynamics", "video": CLIP}


@pytest.fixture(scope="module")
def pipeline(nano: Path) -> LocalPipeline:
    return LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")


def run(pipeline: LocalPipeline, fields: dict[str, Any]) -> GenerationResult:
    return pipeline.generate(GenerationRequest(**fields))


def test_a_denoiser_holds_no_understanding_weights(pipeline: LocalPipeline) -> None:
    names = {name for name, _ in pipeline.denoiser.tower.named_parameters()}
    assert not [
        n for n in names if n.startswith(("embed_tokens", "lm_head", "norm.")) or ".to_q." in n or ".to_k." in n
    ]
    assert not [n for n in names if ".mlp." in n or ".input_layernorm.weight" in n]


def test_an_understanding_holds_none_of_the_generation_tower(pipeline: LocalPipeline) -> None:
    names = {name for name, _ in pipeline.encoder.understanding.tower.named_parameters()}
    assert not [
        n for n in names if "moe_gen" in n or "add_" in n or n.startswith(("proj_", "time_", "audio_", "action_"))
    ]
    last = [n for n in names if n.startswith("layers.3.")]
    assert sorted(n.removeprefix("layers.3.") for n in last) == [
        "input_layernorm.weight",
        "self_attn.norm_k.weight",
        "self_attn.to_k.weight",
        "self_attn.to_v.weight",
    ]


def test_the_stages_read_disjoint_bytes_that_leave_only_the_reasoners_own(pipeline: LocalPipeline) -> None:
    config = pipeline.checkpoint.transformer_config
    files = (pipeline.checkpoint.folder("transformer")).glob("*.safetensors")
    stored = sum(file.stat().st_size for file in files)
    read = pipeline.denoiser.report.bytes_read + pipeline.encoder.understanding.report.bytes_read
    head = config.vocab_size * config.hidden_size + config.hidden_size
    wide = config.num_attention_heads * config.head_dim * config.hidden_size
    last_layer = 2 * wide + 3 * config.hidden_size * config.intermediate_size + config.hidden_size + config.head_dim
    headers = stored - read - 2 * (head + last_layer)
    assert 0 < headers < 64_000


def test_the_understanding_tower_runs_once_per_branch_and_not_for_a_known_prompt(nano: Path) -> None:
    pipeline = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")
    understanding = pipeline.encoder.understanding
    run(pipeline, VIDEO | {"num_inference_steps": 7, "negative_prompt": "blurry"})
    assert understanding.runs == 2
    run(pipeline, VIDEO | {"prompt": "another prompt", "negative_prompt": "blurry"})
    assert understanding.runs == 3
    run(pipeline, VIDEO | {"guidance_scale": 1.0, "prompt": "a third prompt"})
    assert understanding.runs == 4


def test_a_text_cache_without_room_keeps_nothing(nano: Path) -> None:
    pipeline = LocalPipeline.from_pretrained(nano, device="cpu", dtype="float32")
    pipeline.encoder.understanding.cache.budget = 0
    run(pipeline, VIDEO)
    run(pipeline, VIDEO)
    assert pipeline.encoder.understanding.runs == 4


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("prompt", VIDEO, {"prompt": "a robot pours water into a cup."}),
    ("negative prompt", VIDEO, {"negative_prompt": "blurry"}),
    ("seed", VIDEO, {"seed": 2}),
    ("fps", VIDEO, {"fps": 16}),
    ("guidance scale", VIDEO, {"guidance_scale": 5.0}),
    ("guidance interval", VIDEO, {"guidance_interval": (900, 1000)}),
    ("flow shift", VIDEO, {"flow_shift": 5.0}),
    ("schedule", VIDEO, {"schedule": "karras"}),
    ("system prompt", VIDEO, {"system_prompt": "You paint."}),
    ("size sentence", VIDEO, {"use_resolution_template": True}),
    ("length sentence", VIDEO, {"use_duration_template": True}),
    ("prompt length", VIDEO, {"max_sequence_length": 8}),
    ("sound", VIDEO, {"generate_sound": True}),
    ("sound duration", VIDEO | {"generate_sound": True}, {"sound_duration": 0.5}),
    ("image", VIDEO | {"mode": "image2video", "image": picture(96, 128, 1)}, {"image": picture(96, 128, 2)}),
    ("kept end", VIDEO | {"mode": "video2video", "video": CLIP, "num_frames": 9}, {"condition_video_keep": "last"}),
    (
        "fixed frames",
        VIDEO | {"mode": "video2video", "video": CLIP, "num_frames": 9},
        {"condition_frame_indexes_vision": 0},
    ),
    ("view point", FORWARD, {"view_point": "wrist_view"}),
    ("embodiment", FORWARD, {"domain_name": "camera_pose"}),
    ("action canvas", on_canvas("256", FORWARD), {"resolution": "480"}),
]


@pytest.mark.parametrize(("fields", "change"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_no_input_is_silently_ignored(pipeline: LocalPipeline, fields: dict[str, Any], change: dict[str, Any]) -> None:
    before, after = (pipeline.encode(GenerationRequest(**f))[1] for f in (fields, fields | change))
    first, second = pipeline.denoise(before)[Modality.VISION], pipeline.denoise(after)[Modality.VISION]
    assert first.shape != second.shape or float((first - second).abs().max()) > 1e-3


def test_one_action_value_changes_the_rollout(pipeline: LocalPipeline) -> None:
    changed = FORWARD["action"].copy()
    changed[5, 3] += 0.1
    first, second = run(pipeline, FORWARD), run(pipeline, FORWARD | {"action": changed})
    assert (first.latents[Modality.VISION] - second.latents[Modality.VISION]).abs().max() > 1e-4
    assert (first.frames != second.frames).any()


def test_one_conditioning_frame_changes_the_inferred_actions(pipeline: LocalPipeline) -> None:
    changed = CLIP.copy()
    changed[6] = picture(96, 160, 99)
    first, second = run(pipeline, INVERSE).action, run(pipeline, INVERSE | {"video": changed}).action
    assert first is not None and second is not None
    assert np.abs(first - second).max() > 1e-4


def test_a_seed_repeats_and_noise_can_be_given(pipeline: LocalPipeline) -> None:
    drawn = run(pipeline, VIDEO)
    noise = torch.randn((48, 2, 6, 8), generator=torch.Generator().manual_seed(VIDEO["seed"]))
    given = pipeline.generate(GenerationRequest(**(VIDEO | {"seed": 9})), noise={"vision": noise[None]})
    assert drawn.latents_sha256 == given.latents_sha256 == run(pipeline, VIDEO).latents_sha256


@pytest.mark.parametrize(
    "noise",
    [
        {},
        {"vision": torch.zeros(3)},
        {"vision": torch.zeros(48, 2, 8, 6)},
        {"vision": torch.full((48, 2, 6, 8), float("nan"))},
        {"vision": torch.zeros(48, 2, 6, 8), "sound": torch.zeros(64, 6)},
    ],
    ids=["none", "size", "transposed", "not finite", "another modality"],
)
def test_noise_that_does_not_fit_is_refused(pipeline: LocalPipeline, noise: dict[str, torch.Tensor]) -> None:
    with pytest.raises(RequestError) as caught:
        pipeline.generate(GenerationRequest(**VIDEO), noise=noise)
    assert caught.value.field == "noise"


@pytest.mark.parametrize("component", ["vae", "sound_tokenizer"])
def test_a_checkpoint_without_a_decoder_is_refused_before_anything_runs(
    nano: Path, tmp_path: Path, component: str
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(nano, damaged)
    for file in (damaged / component).glob("*.safetensors"):
        file.unlink()
    with pytest.raises(CheckpointError, match=component):
        LocalPipeline.from_pretrained(damaged, device="cpu")


@pytest.mark.parametrize(
    "setting", [{"device": "tpu"}, {"device": "cuda:99"}, {"dtype": "int4"}, {"attention": "fast"}], ids=str
)
def test_a_setting_this_machine_cannot_run_is_refused_by_name(nano: Path, setting: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        LocalPipeline.from_pretrained(nano, **setting)
    assert caught.value.field == next(iter(setting))


def test_events_tell_the_stages_and_every_step(pipeline: LocalPipeline) -> None:
    events: list[Event] = []
    result = pipeline.generate(GenerationRequest(**VIDEO), on_event=events.append)
    order = [(type(event), getattr(event, "stage", None)) for event in events]
    steps = [event for event in events if isinstance(event, Step)]
    assert order == [
        (Started, "encode"),
        (Finished, "encode"),
        (Started, "denoise"),
        *[(Step, None)] * 3,
        (Finished, "denoise"),
        (Started, "decode"),
        (Finished, "decode"),
    ]
    assert [(step.index, step.count) for step in steps] == [(1, 3), (2, 3), (3, 3)]
    assert steps[0].seconds_left > 0 and steps[-1].seconds_left == 0
    assert set(result.seconds) == {"encode", "denoise", "decode"}


def test_a_policy_gives_actions_of_its_embodiments_width(pipeline: LocalPipeline) -> None:
    fields = ACTION | {"mode": "policy", "image": picture(96, 160, 1), "domain_name": "agibotworld"}
    result = run(pipeline, on_canvas("256", fields))
    assert result.action is not None and result.action.shape == (8, 29)
    assert result.frames.shape == (9, 192, 320, 3)
    rest = result.latents[Modality.ACTION][:, 29:]
    assert torch.equal(rest, torch.zeros_like(rest))


def test_the_first_frame_of_an_animated_image_is_the_image_as_the_vae_renders_it(pipeline: LocalPipeline) -> None:
    image = picture(96, 128, 3)
    animated = run(pipeline, VIDEO | {"mode": "image2video", "image": image})
    again = run(pipeline, VIDEO | {"mode": "image2video", "image": image, "seed": 7, "prompt": "something else"})
    assert (animated.frames[0] == again.frames[0]).all()
    assert (animated.frames[1] != again.frames[1]).any()
    coarse = animated.frames[0].reshape(6, 16, 8, 16, 3).mean(axis=(1, 3)).ravel()
    given = image.reshape(6, 16, 8, 16, 3).mean(axis=(1, 3)).ravel()
    assert np.corrcoef(coarse, given)[0, 1] > 0.8


def test_sound_is_as_long_as_the_video(pipeline: LocalPipeline) -> None:
    result = run(pipeline, VIDEO | {"generate_sound": True, "num_frames": 9, "fps": 24})
    assert result.sound is not None
    assert result.sound.shape == (2, 18_000)
    assert 0.02 < np.abs(result.sound).mean() < 0.9


def test_real_prompts_and_media_go_through(pipeline: LocalPipeline) -> None:
    fields = SMALL | {"width": 128, "height": 96, "num_frames": 9, "prompt": assets.prompt("t2v_robot_kitchen")}
    guided = run(pipeline, fields | {"mode": "image2video", "image": assets.image("humanoid_robot")})
    assert guided.frames.shape == (9, 96, 128, 3)
    assert guided.frames.std() > 5


def test_latents_are_hashed_as_they_are(pipeline: LocalPipeline) -> None:
    result = run(pipeline, VIDEO)
    expected = hashlib.sha256(result.latents[Modality.VISION].numpy().tobytes()).hexdigest()
    assert result.latents_sha256 == {"vision": expected}
