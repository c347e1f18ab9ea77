"""Wrong input: the right code, the field's name, and no stage ever hears of it."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from cosmos3_core.media.stills import encode_image
from deployments.cli.client import Client
from tests.graph.figures import eventually
from tests.parity.cases import picture

STAGES = (
    "cosmos3_encoder_encode_requests",
    "cosmos3_encoder_embed_requests",
    "cosmos3_generator_tasks",
    "cosmos3_decoder_decode_requests",
    "cosmos3_reasoner_chat_requests",
    "cosmos3_jobs_accepted",
)


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def data_uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def image_chat(url: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}


HUGE = png_of(14143, 14143)
SMALL = encode_image(picture(64, 64, seed=1), "png")
CHAT = {"messages": [{"role": "user", "content": "hi"}]}
IMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "size abc": ({"prompt": "x", "size": "abc"}, "size"),
    "size without x": ({"prompt": "x", "size": "1024"}, "size"),
    "empty prompt": ({"prompt": ""}, "prompt"),
    "no prompt": ({}, "prompt"),
    "no steps": ({"prompt": "x", "num_inference_steps": 0}, "num_inference_steps"),
    "too many steps": ({"prompt": "x", "num_inference_steps": 500}, "num_inference_steps"),
    "unknown model": ({"prompt": "x", "model": "wrong"}, "model"),
    "url format": ({"prompt": "x", "response_format": "url"}, "response_format"),
    "seed out of range": ({"prompt": "x", "seed": 2**63}, "seed"),
    "a size that is too small": ({"prompt": "x", "size": "32x32"}, "size"),
    "a size nobody can make": ({"prompt": "x", "size": "30000x30000"}, "size"),
}
VIDEOS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "fps 0": ({"prompt": "x", "fps": "0"}, {}, "fps"),
    "sound of no length": ({"prompt": "x", "generate_sound": "true", "sound_duration": "0"}, {}, "sound_duration"),
    "text as image": ({"prompt": "x"}, {"input_reference": ("x.png", b"hello")}, "input_reference"),
    "200 megapixels": ({"prompt": "x"}, {"input_reference": ("x.png", HUGE)}, "input_reference"),
    "image by URL": ({"prompt": "x", "image_reference": '{"image_url": "http://127.0.0.1/x"}'}, {}, "image_reference"),
    "image by path": ({"prompt": "x", "image_reference": "/etc/passwd"}, {}, "image_reference"),
    "extra_params no JSON": ({"prompt": "x", "extra_params": "{bad"}, {}, "extra_params"),
    "extra_params a list": ({"prompt": "x", "extra_params": "[1]"}, {}, "extra_params"),
    "unknown mode": ({"prompt": "x", "mode": "transfer"}, {}, "mode"),
    "policy without image": ({"prompt": "x", "action_mode": "policy", "domain_name": "av"}, {}, "input_reference"),
    "unknown domain": (
        {"prompt": "x", "action_mode": "policy", "domain_name": "boat"},
        {"input_reference": ("x.png", SMALL)},
        "domain_name",
    ),
    "lora": ({"prompt": "x", "lora": '{"name": "a"}'}, {}, "lora"),
}
CHATS: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown model": (CHAT | {"model": "wrong"}, 404, "model"),
    "no messages": ({}, 400, "messages"),
    "usage without stream": (CHAT | {"stream_options": {"include_usage": True}}, 400, "stream_options"),
    "guided_json": (CHAT | {"guided_json": {}}, 400, "guided_json"),
    "image over HTTP": (image_chat("http://127.0.0.1:1/x.png"), 422, "messages.0.content.0.image_url"),
    "image from a file": (image_chat("file:///etc/passwd"), 400, "messages.0.content.0.image_url"),
    "image no base64": (image_chat("data:image/png,abc"), 400, "messages.0.content.0.image_url"),
    "text as image": (image_chat(data_uri(b"hello")), 400, "messages.0.content.0.image_url"),
    "200 megapixels": (image_chat(data_uri(HUGE)), 400, "messages.0.content.0.image_url"),
    "a message that is none": ({"messages": [5]}, 400, "messages.0"),
    "a message of nobody": ({"messages": [{"content": "x"}]}, 400, "messages.0.role"),
    "content that is none": ({"messages": [{"role": "user", "content": {"a": 1}}]}, 400, "messages.0.content"),
    "too many choices": (CHAT | {"n": 16384}, 400, "n"),
    "processor arguments": (
        CHAT | {"mm_processor_kwargs": {"size": {"longest_edge": 10**9}}},
        400,
        "mm_processor_kwargs.size.longest_edge",
    ),
    "a thread of pixels": (
        image_chat(data_uri(encode_image(np.zeros((1, 400, 3), np.uint8), "png"))),
        400,
        "messages.0.content.0.image_url",
    ),
    "video no base64": (
        {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "data:video/mp4,"}}]}]},
        400,
        "messages.0.content.0.video_url",
    ),
    "embeddings of the client's": (
        {"messages": [{"role": "user", "content": [{"type": "image_embeds", "image_embeds": "gASV"}]}]},
        400,
        "messages.0.content.0",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def no_stage_hears(request: pytest.FixtureRequest) -> Iterator[None]:
    """Count what the stages got over all refusals of this module: nothing."""
    from deployments.local.launch import RunningGraph

    graph: RunningGraph = request.getfixturevalue("graph")
    client = Client(graph.url)
    before = {name: client.figures()[name] for name in STAGES}
    yield
    answered = client.figures()["cosmos3_http_requests_total"]
    eventually(client, lambda figures: figures["cosmos3_http_requests_total"] > answered)
    after = client.figures()
    assert {name: after[name] for name in STAGES} == before
    assert httpx.get(f"{graph.url}/health").status_code == 200
    client.close()


def refusal_of(response: httpx.Response, status: int) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert response.status_code == error["code"] == status, response.text
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"] and "/work" not in error["message"] and len(error["message"]) < 600
    return error


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str, http: httpx.Client) -> None:
    body, field = IMAGES[name]
    assert refusal_of(http.post("/v1/images/generations", json=body), 400)["param"] == field


@pytest.mark.parametrize("route", ["/v1/videos", "/v1/videos/sync"])
@pytest.mark.parametrize("name", VIDEOS)
def test_videos(name: str, route: str, http: httpx.Client) -> None:
    form, files, field = VIDEOS[name]
    assert refusal_of(http.post(route, data=form, files=files or None), 400)["param"] == field


@pytest.mark.parametrize("name", CHATS)
def test_chats(name: str, http: httpx.Client) -> None:
    body, status, field = CHATS[name]
    error = refusal_of(http.post("/v1/chat/completions", json=body), status)
    assert error["param"] == field


@pytest.mark.parametrize("route", ["/v1/images/generations", "/v1/videos", "/v1/chat/completions"])
def test_json_that_does_not_parse(route: str, http: httpx.Client) -> None:
    answer = http.post(route, content=b'{"prompt": ', headers={"Content-Type": "application/json"})
    assert "JSON" in refusal_of(answer, 400)["message"]


def test_json_that_is_nested_too_deeply(http: httpx.Client) -> None:
    body = b'{"messages": ' + b"[" * 400 + b"]" * 400 + b"}"
    answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert "nested" in refusal_of(answer, 400)["message"]


def test_a_model_name_that_cannot_be_encoded(http: httpx.Client) -> None:
    body = b'{"model": "\\ud800", "messages": [{"role": "user", "content": "hi"}]}'
    answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert refusal_of(answer, 404)["param"] == "model"


def test_other_media_types(http: httpx.Client) -> None:
    for route in ("/v1/images/generations", "/v1/chat/completions"):
        answer = http.post(route, content="prompt", headers={"Content-Type": "text/plain"})
        assert "application/json" in refusal_of(answer, 400)["message"]


def test_routes_that_do_not_exist(http: httpx.Client) -> None:
    refusal_of(http.get("/v1/nothing"), 404)
    refusal_of(http.put("/v1/videos"), 405)
    refusal_of(http.get("/v1/videos/video_gen_0"), 404)
    refusal_of(http.get("/v1/models/wrong"), 404)


def test_a_clients_request_id_comes_back(http: httpx.Client) -> None:
    answer = http.get("/v1/nothing", headers={"X-Request-Id": "mine-1"})
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert answer.json()["error"]["request_id"] == "mine-1"
