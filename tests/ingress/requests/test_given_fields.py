"""Fields from several places in a body, and fields that are ignored."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import Body, Upload
from deployments.ingress.requests.generation import read_video
from tests.ingress.requests.reading import video


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"seed": 1, "extra_params": {"seed": 2}}, {"seed": 2}),
        ({"seed": 1, "extra_params": {"seed": None}}, {"seed": 1}),
        ({"extra_args": {"seed": 1}, "extra_params": {"seed": 2}}, {"seed": 2}),
        ({"steps": 5, "extra_params": {"num_steps": 6}}, {"num_inference_steps": 6}),
        ({"steps": 5, "num_inference_steps": "5"}, {"num_inference_steps": 5}),
        ({"size": "320x192", "width": 640, "height": 640}, {"width": 320, "height": 192}),
        ({"size": "320x192", "extra_params": {"width": 640, "height": 640}}, {"width": 320, "height": 192}),
        ({"size": "auto", "width": 640, "height": 640}, {"width": 640, "height": 640}),
        ({"seconds": "2", "num_frames": 9}, {"num_frames": 9}),
        ({"seconds": "2", "fps": "10"}, {"num_frames": 20}),
        ({"seconds": "2", "extra_params": {"fps": "10"}}, {"num_frames": 20}),
        ({"video_params": {"width": 64, "height": 64, "fps": 5}, "fps": 10}, {"width": 64, "height": 64, "fps": 10}),
        ({"fps": 10, "action_fps": 10.0}, {"fps": 10}),
        ({"num_frames": "", "seed": None, "size": "", "extra_params": ""}, {"num_frames": None, "seed": 42}),
    ],
)
def test_precedence(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    request = video(fields).request
    assert {name: getattr(request, name) for name in expected} == expected


def test_fields_without_effect_are_listed_as_ignored() -> None:
    silent = video({"audio_duration": "7.875", "n": 3})
    assert silent.request.sound_duration is None and silent.ignored == ("n", "audio_duration")
    loud = video({"audio_duration": "7.875", "enable_sound": "true", "num_outputs_per_prompt": 1})
    assert loud.request.sound_duration == 7.875 and loud.ignored == ()


def test_unknown_fields() -> None:
    fields = {"nonsense": 1, "extra_params": {"more": 2, "bad\r\nname é": 3}, "deterministic_seed": "true", "x": None}
    assert video(fields).ignored == (
        "nonsense",
        "deterministic_seed",
        "extra_params.more",
        "extra_params.bad??name??",
    )
    assert len(video({f"field{index}": 1 for index in range(100)}).ignored) == 20


@pytest.mark.parametrize("name", ["prompt", "extra_params", "seed"])
def test_file_instead_of_text(name: str) -> None:
    with pytest.raises(ApiError, match=f"{name} is (given as )?a file; expected") as caught:
        read_video(Body({"prompt": "a robot"} if name != "prompt" else {}, {name: [Upload("file", b"x")]}))
    assert caught.value.param == name
