"""Bodies of the generation routes, read and refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from cosmos3_core.media.stills import encode_image
from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import Body
from deployments.ingress.requests.form import Upload
from deployments.ingress.requests.generation import Generation, ImageGeneration, read_edit, read_image, read_video
from tests.parity.cases import picture

PNG = encode_image(picture(32, 48, seed=1), "png")
JPEG = encode_image(picture(32, 48, seed=1), "jpeg")


def uri(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def video(fields: dict[str, Any] | None = None, **uploads: bytes) -> Generation:
    files = {name: [Upload("file", content)] for name, content in uploads.items()}
    return read_video(Body({"prompt": "a robot"} | (fields or {}), files))


def refused(fields: dict[str, Any], **uploads: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        video(fields, **uploads)
    assert caught.value.status == 400
    return caught.value


def edit(fields: dict[str, Any] | None = None, **uploads: bytes) -> ImageGeneration:
    files = {name: [Upload("file", content)] for name, content in uploads.items()}
    return read_edit(Body({"prompt": "make it red"} | (fields or {}), files))


def refused_edit(fields: dict[str, Any], status: int = 400, **uploads: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        edit(fields, **uploads)
    assert caught.value.status == status
    return caught.value


def refused_image(**fields: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read_image({"prompt": "a robot"} | fields)
    assert caught.value.status == 400
    return caught.value
