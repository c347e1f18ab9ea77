"""References in the form of OpenAI's chats and JSON edits."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.ingress.requests import fields as tables
from deployments.ingress.requests.generation_addresses import in_generation
from deployments.ingress.requests.nested_urls import flat
from tests.ingress.requests.reading import PNG, edit, refused, uri, video

PICTURE = uri(PNG)
ADDRESS = "https://example.com/a.png"


@pytest.mark.parametrize(
    "fields",
    [
        {"image_url": {"url": PICTURE}},
        {"image_url": {"url": PICTURE, "detail": "high"}},
        {"image_reference": {"image_url": {"url": PICTURE}}},
        {"input_reference": [{"image_url": {"url": PICTURE}}]},
        {"input_reference": {"type": "image_url", "image_url": {"url": PICTURE}}},
        {"images": [{"image_url": PICTURE}]},
    ],
)
def test_videos(fields: dict[str, Any]) -> None:
    assert video(fields).request.image == PNG


def test_edits() -> None:
    for images in ([{"image_url": PICTURE}], [{"image_url": {"url": PICTURE}}], [PICTURE]):
        assert edit({"images": images}).request.image == PNG


def test_addresses_are_found_in_the_object() -> None:
    for fields in ({"image_url": {"url": ADDRESS}}, {"images": [{"image_url": {"url": ADDRESS}}]}):
        schema = tables.EDIT if "images" in fields else tables.VIDEO
        (found,) = in_generation(fields, schema)
        assert found.address == ADDRESS


def test_other_objects_are_left_alone() -> None:
    assert flat({"url": 1, "more": 2}) == {"url": 1, "more": 2} and flat("x") == "x"
    assert refused({"image_url": {"url": 3}}).param == "image_url"
    assert "holds 2 references" in refused({"images": [PICTURE, PICTURE]}).message
