"""Fields from several places in a body, and fields that are ignored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import read_edit, read_image, read_video
from deployments.wire.encoded_file import DiskFile
from tests.ingress.requests.reading import PNG, edit, refused, video


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
    silent = video({"audio_duration": "7.875"})
    assert silent.request.sound_duration is None and silent.ignored == ("audio_duration",)
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


@pytest.mark.parametrize("name", ["file", "files[]", "init_image", "first_frame", "extra_params[image]", "user", "img"])
def test_a_file_under_an_unknown_name_is_refused_with_the_names_there_are(name: str) -> None:
    key = name.removesuffix("[]")
    expected = (
        "expected input_reference, image_reference, video_reference, audio_reference, edge, blur, depth, seg, wsm"
    )
    for uploads in ([Upload("a.png", PNG)], [Upload("a.png", PNG), Upload("b.png", PNG)]):
        with pytest.raises(ApiError, match=expected) as caught:
            read_video(Body({"prompt": "a robot"}, {key: uploads}))
        assert (caught.value.status, caught.value.param) == (400, key)
    with pytest.raises(ApiError, match="expected image, images, input_reference, image_reference, url") as caught:
        read_edit(Body({"prompt": "a robot"}, {key: [Upload("a.png", PNG)]}))


@pytest.mark.parametrize("other", [b"", b"x"], ids=["same", "another"])
def test_a_file_on_the_disk_under_two_names(other: bytes) -> None:
    files = [DiskFile(), DiskFile()]
    files[0].write(PNG)
    files[1].write(PNG[: len(PNG) - len(other)] + other)
    names = "input_reference", "image"
    body = Body({"prompt": "a robot"}, {name: [Upload("a.png", file)] for name, file in zip(names, files, strict=True)})
    if other:
        with pytest.raises(ApiError, match="contradicts"):
            read_video(body)
    else:
        assert read_video(body).request.image == PNG
    for file in files:
        file.close()


def test_every_name_of_a_file_is_taken(mp4: bytes) -> None:
    for name in tables.VIDEO.files:
        given = {"control_type": "depth"} if name == "control_reference" else {}
        content = mp4 if name == "video_reference" else PNG
        assert video(given, **{name: content}).ignored == ()
    for name in tables.EDIT.files:
        assert edit({}, **{name: PNG}).request.image == PNG


MERGED_FIELDS = {"seed": 7, "num_inference_steps": 3, "size": "320x192", "extra_params": {"guidance_scale": 2}}


@pytest.mark.parametrize("name", tables.MERGED)
@pytest.mark.parametrize("as_text", [True, False])
def test_an_object_of_fields_is_merged_with_those_outside(name: str, as_text: bool) -> None:
    sent = json.dumps(MERGED_FIELDS) if as_text else MERGED_FIELDS
    for read in (video, edit):
        found = read({name: sent, "steps": "3"}, **({} if read is video else {"image": PNG}))
        request = found.request
        assert (request.seed, request.num_inference_steps, request.guidance_scale) == (7, 3, 2.0)
        assert (request.width, request.height, found.ignored) == (320, 192, ())
    assert read_image({"prompt": "a robot", name: sent}).request.seed == 7


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seed": "8", "extra_body": {"seed": 7}}, "extra_body.seed"),
        ({"steps": "8", "extra_json": '{"num_inference_steps": 7}'}, "extra_json.num_inference_steps"),
        ({"extra_body": {"seed": 7}, "extra_json": {"deterministic_seed": 8}}, "extra_json.deterministic_seed"),
        ({"extra_params": {"seed": 1}, "extra_body": {"extra_params": {"seed": 2}}}, "extra_params.seed"),
        ({"action": [[1, 2]], "extra_body": {"action": [[1, 3]]}}, "extra_body.action"),
        ({"edge": True, "extra_body": {"edge": {"control_weight": 2}}}, "extra_body.edge"),
        ({"extra_body": "{bad"}, "extra_body"),
        ({"extra_json": "[1]"}, "extra_json"),
        ({"extra_body": {"seed": "x"}}, "seed"),
        ({"extra_body": {"mask": "x"}}, "mask"),
    ],
)
def test_merged_objects_that_are_refused(fields: dict[str, Any], param: str) -> None:
    error = refused(fields)
    assert error.param == param and error.message.startswith(param)


def test_what_is_said_twice_alike_is_no_contradiction() -> None:
    same = {"seed": "7", "action": [[1.0, 2.0]], "fps": 10}
    extra = {"seed": 7, "action": "[[1, 2]]", "fps": "10.0", "size": ""}
    found = video(same | {"extra_body": extra, "extra_json": extra, "action_mode": "forward_dynamics"}, image=PNG)
    assert found.request.seed == 7 and found.ignored == ()


def test_a_merged_object_takes_precedence_over_the_filler_and_yields_to_extra_params() -> None:
    found = video({"video_params": {"seed": 1, "fps": 5}, "extra_body": {"seed": 2}, "extra_params": {"fps": 7}})
    assert (found.request.seed, found.request.fps) == (2, 7)
    assert video({"extra_body": {"nonsense": 1}}).ignored == ("extra_body.nonsense",)
