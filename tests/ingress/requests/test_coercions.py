"""Values of single fields: how they are read, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ingress.requests.reading import refused, video


@pytest.mark.parametrize(
    ("name", "sent", "field", "value"),
    [
        ("size", "1280x720", "width", 1280),
        ("size", "1280x720", "height", 720),
        ("size", "auto", "width", None),
        ("num_frames", "61", "num_frames", 61),
        ("num_frames", 61.0, "num_frames", 61),
        ("num_frames", "1e2", "num_frames", 100),
        ("num_output_frames", 26, "num_frames", 26),
        ("fps", "24", "fps", 24.0),
        ("fps", "29.97", "fps", 29.97),
        ("action_fps", "10", "fps", 10.0),
        ("conditioning_fps", 15, "fps", 15.0),
        ("steps", "6", "num_inference_steps", 6),
        ("num_steps", 6, "num_inference_steps", 6),
        ("guidance", "5", "guidance_scale", 5.0),
        ("guidance_scale", 0, "guidance_scale", 0.0),
        ("shift", "10.0", "flow_shift", 10.0),
        ("seed", "0", "seed", 0),
        ("seed", str(2**63 - 1), "seed", 2**63 - 1),
        ("seed", -(2**63), "seed", -(2**63)),
        ("seed", [3], "seed", 3),
        ("deterministic_seed", "7", "seed", 7),
        ("enable_sound", "on", "generate_sound", True),
        ("sound_gen", "No", "generate_sound", False),
        ("enable_audio", 1, "generate_sound", True),
        ("use_system_prompt", "TRUE", "use_system_prompt", True),
        ("max_sequence_length", "512", "max_sequence_length", 512),
        ("guidance_interval", "[400, 1000]", "guidance_interval", (400.0, 1000.0)),
        ("guidance_interval", ["0", "500"], "guidance_interval", (0.0, 500.0)),
        ("condition_frame_indexes_vision", "0,1", "condition_frame_indexes_vision", (0, 1)),
        ("condition_frame_indexes_vision", "[1, 0]", "condition_frame_indexes_vision", (0, 1)),
        ("condition_frame_indexes_vision", 2, "condition_frame_indexes_vision", (2,)),
        ("condition_video_latent_indexes", ["0", "1", "1"], "condition_frame_indexes_vision", (0, 1)),
        ("resolution", 480, "resolution", "480"),
        ("image_size", "256", "resolution", "256"),
        ("aspect_ratio", "16:9", "aspect_ratio", "16:9"),
        ("preset", "diffusers", "preset", "diffusers"),
        ("negative_metadata_mode", "same", "negative_metadata_mode", "same"),
        ("domain_id", "1", "domain_id", 1),
        ("view_point", "concat_view", "view_point", "concat_view"),
        ("action_view_point", "concat_view", "view_point", "concat_view"),
        ("action_horizon", "8", "action_chunk_size", 8),
        ("negative_prompt", '{"a": 1}', "negative_prompt", '{"a": 1}'),
        ("seconds", "2", "num_frames", 48),
        ("seconds", 0.5, "num_frames", 12),
    ],
)
@pytest.mark.parametrize("place", ["top", "extra_params", "extra_args", "JSON text"])
def test_one_field(place: str, name: str, sent: Any, field: str, value: Any) -> None:
    wrapped = {
        "top": {name: sent},
        "extra_params": {"extra_params": {name: sent}},
        "extra_args": {"extra_args": {name: sent}},
        "JSON text": {"extra_params": json.dumps({name: sent})},
    }
    found = video(wrapped[place])
    assert getattr(found.request, field) == value
    assert found.ignored == ()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": 3}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"size": "abc"}, "size"),
        ({"size": "0x0"}, "size"),
        ({"size": "1280X720"}, "size"),
        ({"size": "1280x720x3"}, "size"),
        ({"size": "9" * 5000 + "x9"}, "size"),
        ({"fps": "0"}, "fps"),
        ({"fps": "nan"}, "fps"),
        ({"fps": "inf"}, "fps"),
        ({"fps": "0", "seconds": "4"}, "fps"),
        ({"fps": "1_0"}, "fps"),
        ({"fps": True}, "fps"),
        ({"action_fps": 0}, "action_fps"),
        ({"fps": 24, "action_fps": 10}, "action_fps"),
        ({"num_inference_steps": "500"}, "num_inference_steps"),
        ({"steps": "500"}, "steps"),
        ({"steps": 5, "num_inference_steps": 6}, "num_inference_steps"),
        ({"num_frames": "5.5"}, "num_frames"),
        ({"num_frames": ["5", "6"]}, "num_frames"),
        ({"num_frames": False}, "num_frames"),
        ({"seed": "9223372036854775808"}, "seed"),
        ({"seed": "9" * 5000}, "seed"),
        ({"seed": 10**3999}, "seed"),
        ({"seed": [1, 2]}, "seed"),
        ({"sound_duration": "0"}, "sound_duration"),
        ({"audio_duration": "0"}, "audio_duration"),
        ({"seconds": "0"}, "seconds"),
        ({"seconds": "1e200"}, "seconds"),
        ({"seconds": "0.01"}, "seconds"),
        ({"generate_sound": "maybe"}, "generate_sound"),
        ({"generate_sound": 2}, "generate_sound"),
        ({"guidance_scale": "high"}, "guidance_scale"),
        ({"guidance_scale": 21}, "guidance_scale"),
        ({"guidance_interval": [1, 2, 3]}, "guidance_interval"),
        ({"condition_frame_indexes_vision": "0,x"}, "condition_frame_indexes_vision"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"schedule": "cosine"}, "schedule"),
        ({"extra_params": "{bad"}, "extra_params"),
        ({"extra_params": "[1]"}, "extra_params"),
        ({"extra_params": [1]}, "extra_params"),
        ({"extra_args": 3}, "extra_args"),
        ({"mode": "text2image"}, "mode"),
        ({"model_mode": "image2video"}, "model_mode"),
        ({"mode": "magic"}, "mode"),
        ({"extra_params": {"action_mode": "text2video"}}, "action_mode"),
        ({"mode": "policy", "action_mode": "inverse_dynamics"}, "action_mode"),
        ({"action": "[[1, 2], [3]]"}, "action"),
        ({"action": "[[1, 2"}, "action"),
        ({"action": [[10**400]]}, "action"),
        ({"action": [["x"]]}, "action"),
        ({"action": [[1e9]]}, "action"),
        ({"num_outputs_per_prompt": "11"}, "num_outputs_per_prompt"),
        ({"n": 0}, "n"),
        ({"quality": "hd"}, "quality"),
        ({"lora": '{"path": "/etc/passwd"}'}, "lora"),
        ({"control_reference": "x"}, "control_reference"),
        ({"control_type": "pose"}, "control_type"),
        ({"extra_params": {"depth": {"control_path": "/etc/passwd"}}}, "depth.control_path"),
        ({"extra_params": {"edge": "maybe"}}, "edge"),
        ({"extra_params": {"control_guidance": "some"}}, "control_guidance"),
        ({"state": 3}, "state"),
        ({"extra_params": {"history_length": 1}}, "history_length"),
        ({"extra_params": {"action_path": "/etc/passwd"}}, "action_path"),
        ({"enable_frame_interpolation": "true"}, "enable_frame_interpolation"),
        ({"audio_reference": '{"audio_url": "data:,"}'}, "audio_reference"),
        ({"extra_params": {"observation": {"a": 1}}}, "observation"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], param: str) -> None:
    error = refused(fields)
    assert error.param == param
    assert error.message.startswith(param)
    assert len(error.message) < 500
    error.response("id")
