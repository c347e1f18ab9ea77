"""Fields of other servers that would change a result are refused, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.requests.foreign_fields import REFUSED
from tests.ingress.requests.reading import PNG, edit, refused, refused_edit, refused_image, video


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_on_every_route(name: str) -> None:
    for error in (refused({name: "2"}), refused({"extra_body": {name: 2}}), refused_image(**{name: 2})):
        assert error.param == name and error.message == f"{name} {REFUSED[name]}"
    assert refused_edit({name: "2"}, image=PNG).param == name


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_switched_off_it_does_not_matter(name: str) -> None:
    assert video({name: "false"}).ignored == edit({name: None}, image=PNG).ignored == ()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_outputs_per_prompt": 2}, "expected 1, so send a request for each video"),
        ({"n": "3"}, "expected 1"),
        ({"num_videos_per_prompt": 4}, "expected 1"),
        ({"extra_params": {"num_outputs_per_prompt": 0}}, "expected 1"),
        ({"format": "safetensors"}, "expected mp4"),
        ({"format": "avi"}, "expected mp4"),
        ({"output_format": "gif"}, "expected mp4"),
        ({"response_format": "url"}, "expected file"),
        ({"response_format": "b64_json"}, "expected file"),
        ({"response_format": {"type": "json_object"}}, "expected text"),
    ],
)
def test_videos(fields: dict[str, Any], says: str) -> None:
    name = next(iter(fields.get("extra_params", fields)))
    error = refused(fields)
    assert error.param == name and says in error.message


@pytest.mark.parametrize(
    "fields",
    [{"n": 1}, {"format": "mp4"}, {"format": "auto"}, {"output_format": "MP4"}, {"response_format": "file"}],
)
def test_videos_as_they_are(fields: dict[str, Any]) -> None:
    assert video(fields).ignored == ()


def test_pictures() -> None:
    assert refused_image(background="transparent").param == "background"
    assert refused_edit({"background": "transparent"}, image=PNG).param == "background"
    assert edit({"background": "opaque", "format": "webp"}, image=PNG).output_format == "webp"
    assert edit({"num_images_per_prompt": "2"}, image=PNG).n == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"strength": 1.0},
        {"strength": "1"},
        {"lora_scale": 1},
        {"layers": 1},
        {"guidance_rescale": 0.0},
        {"layers": "1"},
    ],
)
def test_values_that_ask_for_nothing_are_ignored_and_named(fields: dict[str, Any]) -> None:
    (name,) = fields
    expected = () if name == "guidance_rescale" else (name,)
    assert video(fields).ignored == expected
    assert edit(fields, image=PNG).ignored == expected


@pytest.mark.parametrize("value", [[], {}, None, False, "", 0])
def test_values_that_are_empty_are_not_named(value: Any) -> None:
    assert video(dict.fromkeys(("loras", "sigmas", "stream", "return_frames"), value)).ignored == ()
