"""Where generation and action requests may name media by their address, and texts that are never taken for one."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.modes import Mode
from cosmos3_core.resolving.facts import ModelFacts
from cosmos3_core.resolving.resolve import resolve
from deployments.ingress.errors import ApiError
from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.action_request import read_actions
from deployments.ingress.requests.addressed_media import AddressedMedium
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.bracket_notation import nested
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import read_video
from deployments.ingress.requests.generation_addresses import REFERENCES, in_actions, in_generation
from deployments.ingress.requests.references import ADDRESS_PATTERN
from tests.ingress.requests.observations import envelope
from tests.ingress.requests.reading import PNG, edit, refused, uri

URL = "https://example.com/a.png?b=c"


def found_in(fields: dict[str, Any], schema: tables.Schema = tables.VIDEO) -> list[tuple[str, str | None]]:
    """The fields that name a medium by its address, each with the kind that it promises; the addresses are all URL."""
    found = list(in_generation(fields, schema))
    assert all(medium.address == URL for medium in found)
    return [(medium.field, medium.kind) for medium in found]


def put(found: list[AddressedMedium], content: bytes = PNG) -> None:
    for medium in found:
        medium.put(content)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("input_reference", None),
        ("input_references", None),
        ("image", None),
        ("video", None),
        ("reference_url", None),
        ("vision_path", None),
        ("image_reference", "image"),
        ("image_url", "image"),
        ("image_path", "image"),
        ("video_reference", "video"),
        ("video_url", "video"),
        ("video_path", "video"),
        ("audio_reference", "audio"),
        ("sound_reference", "audio"),
        ("sound_path", "audio"),
        ("input_audio", "audio"),
        ("control_reference", None),
        *((kind, None) for kind in ("edge", "blur", "depth", "seg", "wsm")),
    ],
)
def test_fields_that_hold_one_medium(name: str, kind: str | None) -> None:
    forms: list[Any] = [URL, [URL], json.dumps([URL])]
    if name in ("edge", "blur", "depth", "seg", "wsm"):
        forms = forms[:2]
    for value in forms:
        assert found_in({name: value}) == [(name, kind)]
        assert found_in({"prompt": "x", "extra_params": {name: value}}) == [(name, kind)]
        assert found_in({"video_params": json.dumps({name: value})}) == [(name, kind)]
    for address in (URL.upper(), "file:///a.png", "HTTP://[::1]/", "file:a"):
        (medium,) = in_generation({name: address}, tables.VIDEO)
        assert medium.address == address


@pytest.mark.parametrize(("key", "kind"), [("image_url", "image"), ("video_url", "video"), ("audio_url", "audio")])
def test_an_object_says_the_kind(key: str, kind: str) -> None:
    for value in ({key: URL}, [{key: URL}], json.dumps({key: URL}), " " + json.dumps([{key: URL}])):
        assert found_in({"input_reference": value}) == [("input_reference", kind)]


@pytest.mark.parametrize("key", ["control", "video", "control_path"])
@pytest.mark.parametrize("wrap", [lambda value: value, json.dumps])
def test_controls_in_their_objects(key: str, wrap: Any) -> None:
    control = {key: URL, "control_weight": 0.5}
    for place in ({"depth": wrap(control)}, {"extra_params": wrap({"depth": wrap(control)})}):
        assert found_in(place) == [(f"depth.{key}", None)]
    assert found_in({"transfer": wrap({"depth": wrap(control), "seg": URL, "edge": True})}) == [
        (f"transfer.depth.{key}", None),
        ("transfer.seg", None),
    ]


def test_bracket_notation() -> None:
    fields = nested(
        [("extra_params[depth][control]", URL), ("image_reference[image_url]", URL), ("extra_args[a]", URL)]
    )
    assert found_in(fields) == [("image_reference", "image"), ("depth.control", None)]


@pytest.mark.parametrize("name", ["vision_path", "image_path", "video_path", "sound_path"])
def test_paths_are_addresses_where_the_name_says_so(name: str) -> None:
    (medium,) = in_generation({name: "/data/a.png"}, tables.VIDEO)
    assert medium.address == "/data/a.png"
    (medium,) = in_generation({"edge": {"control_path": "/data/a.png"}}, tables.VIDEO)
    assert (medium.address, medium.field) == ("/data/a.png", "edge.control_path")


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": URL, "negative_prompt": "file:///etc/passwd", "webhook_url": URL, "model": URL, "unknown": URL},
        {"input_reference": "/9j/4AAQSkZJRg=="},
        {"edge": {"control": "/9j/4AAQSkZJRg==", "preset_edge_threshold": URL}},
        {"input_reference": uri(PNG)},
        {"input_reference": f" {URL}"},
        {"input_reference": "ftp://example.com/a"},
        {"input_reference": [URL, URL]},
        {"input_reference": {"address": URL}},
        {"input_reference": f'{{"image_url": "{URL}'},
        {"extra_params": f'{{"image_reference": "{URL}'},
        {"extra_params": [URL], "transfer": URL, "video_params": URL},
        {"action_path": URL, "control_path": URL, "mask": URL, "source_video": URL},
        {"input_reference": None, "edge": None, "extra_params": None, "transfer": 3, "depth": 4, "image_reference": 5},
        {"input_reference": Upload("a", URL.encode())},
    ],
)
def test_texts_that_are_no_addresses(fields: dict[str, Any]) -> None:
    before = repr(fields)
    assert found_in(fields) == [] and repr(fields) == before


def test_fields_that_a_route_refuses_are_not_fetched() -> None:
    every = dict.fromkeys((*REFERENCES, "image", "video", "edge", "vision_path", "sound_path"), URL)
    assert found_in(every, tables.IMAGE) == []
    assert {name for name, _ in found_in(every, tables.EDIT)} == {
        "input_reference",
        "image_reference",
        "url",
        "image",
        "vision_path",
    }
    assert not {name for name, _ in found_in(every, tables.ACTION)} & {"audio_reference", "control_reference", "edge"}


def test_every_field_that_is_described_as_an_address_is_looked_at() -> None:
    for schema in (tables.VIDEO, tables.EDIT, tables.ACTION):
        for name, coercion in schema.accepted.items():
            if ADDRESS_PATTERN in json.dumps(coercion.schema):
                assert [field for field, _ in found_in({name: URL}, schema)] == [name]


@pytest.mark.parametrize(
    "fields",
    [
        {"input_reference": URL},
        {"image_reference": {"image_url": URL}},
        {"image_reference": json.dumps({"image_url": URL})},
        {"extra_params": json.dumps({"image_reference": [{"image_url": URL}], "seed": 5})},
        {"image_url": URL},
        {"vision_path": URL},
    ],
)
def test_a_picture_in_the_place_of_its_address(fields: dict[str, Any]) -> None:
    put(list(in_generation(fields, tables.VIDEO)))
    found = read_video(Body({"prompt": "a robot"} | fields))
    assert (found.request.image, found.request.mode) == (PNG, Mode.IMAGE_TO_VIDEO)
    assert found.ignored == () and found.request.seed == (5 if "extra_params" in fields else 42)


def test_other_media_in_the_places_of_their_addresses() -> None:
    fields: dict[str, Any] = {
        "prompt": "x",
        "audio_reference": {"audio_url": URL},
        "edge": json.dumps({"control_path": URL, "control_weight": 0.5}),
        "transfer": {"seg": URL},
        "control_reference": URL,
        "control_type": "wsm",
    }
    put(list(in_generation(fields, tables.VIDEO)))
    found = read_video(Body(fields))
    assert found.request.sound == PNG
    assert {control.kind.value: control.video for control in found.request.controls} == dict.fromkeys(
        ("edge", "seg", "wsm"), PNG
    )
    picture: dict[str, Any] = {"url": URL}
    put(list(in_generation(picture, tables.EDIT)))
    assert edit(picture).request.image == PNG


@pytest.mark.parametrize("name", ["input_reference", "image_url", "vision_path"])
@pytest.mark.parametrize(("content", "says"), [(b"", "is empty"), (b"<!doctype html>", "cannot be read")])
def test_what_was_fetched_is_checked_like_an_upload(name: str, content: bytes, says: str, facts: ModelFacts) -> None:
    fields: dict[str, Any] = {"prompt": "x", name: URL}
    put(list(in_generation(fields, tables.VIDEO)), content)
    with pytest.raises((ApiError, RequestError), match=says):
        found = read_video(Body(fields))
        resolve(found.request, facts, read_inputs(found.request))


def test_a_reference_under_two_names_is_refused() -> None:
    fields = {"image_url": uri(PNG), "vision_path": uri(PNG)}
    assert "cannot be combined" in refused(fields).message


@pytest.mark.parametrize(
    ("body", "field", "kind"),
    [
        ({"image_reference": URL, "prompt": "x"}, "image_reference", "image"),
        (envelope(images={"front": URL}), "input.observation.images.front", "image"),
        (envelope(images={"front": {"image_url": URL}}), "input.observation.images.front", "image"),
        (envelope(image=URL), "input.observation.image", "image"),
        (envelope(input_reference=[URL]), "input.observation.input_reference", None),
        (envelope(video={"video_url": URL}), "input.observation.video", "video"),
        ({"input": {"image": URL}}, "input.image", "image"),
        ({"input": {"images": {"a" * 99: URL}}}, f"input.images.{'a' * 64}", "image"),
        (
            {"input": {"task": URL, "observation": URL}, "parameters": {"image_reference": URL}},
            "image_reference",
            "image",
        ),
        ({"input": {}, "parameters": {"extra_params": {"image": URL}}}, "image", None),
    ],
)
def test_observations(body: dict[str, Any], field: str, kind: str | None) -> None:
    (medium,) = in_actions(body)
    assert (medium.address, medium.field, medium.kind) == (URL, field, kind)


@pytest.mark.parametrize(
    "body",
    [
        envelope(images={"a": {"base64": URL}}),
        envelope(images=[URL]),
        envelope(image=b"bytes", video=np.zeros((2, 2, 3), np.uint8)),
        envelope(task=URL, session_id=URL, image_path=URL),
        {"input": {"images": {3: b"x", b"y": None}}},
        {"input": URL, "parameters": URL},
    ],
)
def test_observations_without_addresses(body: dict[str, Any]) -> None:
    assert list(in_actions(body)) == []


@pytest.mark.parametrize(
    "given", [{"image": URL}, {"images": {"front": {"image_url": URL}}}, {"input_reference": [URL]}]
)
def test_an_observation_in_the_place_of_its_address(given: dict[str, Any]) -> None:
    body = envelope(**given)
    put(list(in_actions(body)))
    assert read_actions(Body(body)).generation.request.image == PNG
