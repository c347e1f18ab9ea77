"""What bodies cost in memory, measured while they are read, and what is reserved for it before."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode

import msgpack
import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.requests.body import Body, read_body, read_object
from deployments.ingress.requests.generation import read_video
from deployments.ingress.requests.memory_cost import json_cost, msgpack_cost, urlencoded_cost
from deployments.ingress.requests.reasoner.chat import read_chat
from deployments.ingress.routes.actions import MSGPACK_FORMAT
from tests.ingress.requests.forms import request_of

SIZE = 2**20
# What reading takes whatever the body holds.
FIXED = 2**17
URI = "data:image/png;base64,"
BASE64 = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(SIZE * 3 // 4)).decode()
WRAPPED = "\n".join(BASE64[start : start + 76] for start in range(0, len(BASE64), 76))
WIDE = "\U0001f600"


def video(wide: bool = False, **fields: Any) -> bytes:
    return json.dumps({"prompt": "a robot"} | fields, ensure_ascii=not wide).encode()


def chat(url: str) -> bytes:
    part = {"type": "image_url", "image_url": {"url": url}}
    return json.dumps({"messages": [{"role": "user", "content": [part, {"type": "text", "text": "?"}]}]}).encode()


JSON_BODIES: dict[str, Callable[[], bytes]] = {
    "base64": lambda: video(image_reference=URI + BASE64),
    "base64 beside a wide character": lambda: video(True, image_reference=URI + BASE64, prompt=WIDE),
    "base64 in lines": lambda: video(image_reference=URI + WRAPPED),
    "base64 with blanks": lambda: video(image_reference=URI + BASE64.replace("+", " ")),
    "escaped base64": lambda: video(image_reference=URI + BASE64.replace("+", "%2B").replace("/", "%2F")),
    "a wide character in base64": lambda: video(True, image_reference=URI + BASE64 + WIDE),
    "an escaped wide character in base64": lambda: video(image_reference=URI + BASE64 + WIDE),
    "a wide prompt": lambda: video(True, prompt=BASE64 + WIDE),
    "an escaped wide prompt": lambda: video(prompt=BASE64 + WIDE),
    "a wide unknown field": lambda: video(True, unknown=BASE64 + WIDE),
    "JSON in JSON": lambda: video(extra_params=json.dumps({"image_reference": URI + BASE64})),
    "wide JSON in JSON": lambda: video(
        True, extra_params=json.dumps({"image_reference": URI + BASE64, "x": WIDE}, ensure_ascii=False)
    ),
    "empty lists": lambda: b'{"a": [' + b"[]," * (SIZE // 3) + b"[]]}",
    "empty objects": lambda: b'{"a": [' + b"{}," * (SIZE // 3) + b"{}]}",
    "small objects": lambda: b'{"a": [' + b'{"a":0},' * (SIZE // 8) + b"{}]}",
    "nested lists": lambda: b'{"a": [' + (b"[" * 60 + b"]" * 60 + b",") * (SIZE // 121) + b"1]}",
    "names": lambda: b'{"a": {' + b",".join(b'"%d":0' % number for number in range(SIZE // 9)) + b"}}",
    "short texts": lambda: b'{"a": [' + b'"ab",' * (SIZE // 5) + b"1]}",
    "short wide texts": lambda: b'{"a": [' + f'"{WIDE}",'.encode() * (SIZE // 7) + b"1]}",
    "numbers": lambda: b'{"a": [' + b"1.5," * (SIZE // 4) + b"1]}",
    "a chat": lambda: chat(URI + BASE64),
    "a chat with base64 in lines": lambda: chat(URI + WRAPPED),
    "a chat of chosen frames": lambda: chat("data:video/jpeg;base64," + ",".join([BASE64[: SIZE // 8]] * 8)).replace(
        b"image_url", b"video_url"
    ),
    "a wide chat": lambda: json.dumps({"messages": [{"role": "user", "content": BASE64 + WIDE}]}).encode(),
}
MSGPACK_BODIES: dict[str, Callable[[], Any]] = {
    "pixels": lambda: random.Random(1).randbytes(SIZE),
    "pixels among lists": lambda: [random.Random(1).randbytes(SIZE // 2), [[[]] * 60_000] * (SIZE // 120_000)],
    "pixels behind many numbers": lambda: [[[300] * 60_000] * 2, random.Random(1).randbytes(SIZE)],
    "texts of any bytes": lambda: [bytes(range(128)).decode() * 400] * (SIZE // 51_200),
    "empty lists": lambda: [[[]] * 60_000] * (SIZE // 60_000),
    "empty maps": lambda: [[{}] * 60_000] * (SIZE // 60_000),
    "small maps": lambda: [[{"a": 1}] * 60_000] * (SIZE // 240_000),
    "texts": lambda: [["ab"] * 60_000] * (SIZE // 180_000),
    "numbers": lambda: [[300] * 60_000] * (SIZE // 180_000),
}
URLENCODED_BODIES: dict[str, Callable[[], bytes]] = {
    "base64": lambda: urlencode({"image_reference": URI + BASE64}).encode(),
    "escapes": lambda: b"a=" + b"%41" * (SIZE // 3),
    "escapes among letters": lambda: b"a=" + b"%41b" * (SIZE // 4),
    "a wide character": lambda: f"a={BASE64}".encode() + b"%F0%9F%98%80",
    "wide characters": lambda: b"a=" + b"%F0%9F%98%80" * (SIZE // 12),
    "bytes": lambda: b"a=" + b"\xff" * SIZE,
}


def peak(content: bytes, content_type: str, read: Callable[[Any], object] | None = None) -> int:
    """The most memory that reading a body takes, from its pieces to what a route makes of it."""

    async def reading() -> None:
        request = request_of(content, content_type, 2**18)
        tracemalloc.start()
        if content_type == "application/msgpack":
            await read_object(request, MSGPACK_FORMAT)
            return
        body = await read_body(request)
        if read is not None:
            read(body)

    try:
        # A refusal may cost as much.
        with suppress(ApiError):
            asyncio.run(reading())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def chat_of(body: Body) -> object:
    return read_chat(body.fields)


@pytest.mark.parametrize("name", JSON_BODIES)
def test_json(name: str) -> None:
    content = JSON_BODIES[name]()
    cost = json_cost(content)
    assert peak(content, "application/json", chat_of if "chat" in name else read_video) <= cost + FIXED
    assert cost < 200 * len(content)


@pytest.mark.parametrize("name", MSGPACK_BODIES)
def test_msgpack(name: str) -> None:
    content = msgpack.packb({"a": MSGPACK_BODIES[name]()})
    assert peak(content, "application/msgpack") <= msgpack_cost(content) + FIXED


@pytest.mark.parametrize("name", URLENCODED_BODIES)
def test_urlencoded(name: str) -> None:
    content = URLENCODED_BODIES[name]()
    assert peak(content, "application/x-www-form-urlencoded") <= urlencoded_cost(content) + FIXED


def test_a_usual_body_is_not_taken_for_a_costly_one() -> None:
    content = video(image_reference=URI + BASE64, action=[[0.1] * 9] * 100)
    assert json_cost(content) < 7.3 * len(content)


def test_pixels_are_not_taken_for_lists() -> None:
    # Grey is the first byte of an empty list, and of many other values.
    frames = [
        {"__ndarray__": True, "data": bytes([grey]) * SIZE, "dtype": "|u1", "shape": [SIZE]} for grey in b"\x90\x80\xdf"
    ]
    content = msgpack.packb({"frames": frames, "state": [0.5] * 100})
    assert msgpack_cost(content) < 7.1 * len(content)


@pytest.mark.parametrize(
    "claim", [b"\xc6\xff\xff\xff\xff", b"\xc4\xff", b"\xdb\x7f\xff\xff\xff", b"\xc9\x00\x00\x00\x10\x01", b"\xc6"]
)
def test_a_length_that_is_wrong_hides_nothing(claim: bytes) -> None:
    content = claim + b"\x90" * 200
    assert msgpack_cost(content) >= 128 * 200


def test_many_headers_are_counted_soon() -> None:
    content = b"\x90" * (16 * SIZE)
    started = time.monotonic()
    assert msgpack_cost(content) >= 128 * len(content)
    assert time.monotonic() - started < 5
