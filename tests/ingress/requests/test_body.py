"""Bodies of requests, as httpx, curl and the openai SDK write them, and broken ones."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Message

from deployments.ingress.errors import ApiError
from deployments.ingress.intake import HeldRequests, Intake
from deployments.ingress.requests import body as body_module
from deployments.ingress.requests import form as form_module
from deployments.ingress.requests.body import Body, read_body, read_json
from deployments.ingress.requests.form import Upload
from deployments.settings.intake import IntakeSettings
from deployments.wire.encoded_file import DiskFile
from tests.ingress.requests.forms import URL, awaited, read, refused, request_of, text_parts


def form(data: Mapping[str, Any] | None = None, **files: Any) -> Body:
    return read(httpx.Request("POST", URL, data=data, files=files or None))


def sdk_request(**fields: Any) -> httpx.Request:
    openai = pytest.importorskip("openai")
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        return httpx.Response(200, json={"id": "video_1", "object": "video", "status": "queued"})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        sdk = openai.OpenAI(api_key="none", base_url="http://server/v1", http_client=client)
        with pytest.warns(DeprecationWarning):
            sdk.videos.create(**fields)
    return sent[0]


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize("reader", [read_json, read_body])
def test_json(content_type: str, reader: Callable[[Request], Awaitable[Any]]) -> None:
    found = asyncio.run(awaited(reader, request_of(b'{"prompt": "\xc3\xa9", "seed": 0}', content_type)))
    assert (found.fields if isinstance(found, Body) else found) == {"prompt": "é", "seed": 0}


def test_large_json() -> None:
    fields = {"prompt": "x" * (3 * 2**20)}
    found = asyncio.run(read_json(request_of(json.dumps(fields).encode(), "application/json")))
    assert found == fields


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonl", "multipart/form-data"])
def test_json_routes_take_only_json(content_type: str | None) -> None:
    error = refused(read_json, b"{}", content_type)
    assert (error.status, error.message) == (400, "Unsupported Media Type: Only 'application/json' is allowed")


@pytest.mark.parametrize("content_type", [None, "", " "])
def test_without_a_body_and_its_type_the_fields_are_missed(content_type: str | None) -> None:
    assert asyncio.run(awaited(read_json, request_of(b"", content_type))) == {}
    assert asyncio.run(awaited(read_body, request_of(b"", content_type))) == Body({})


@pytest.mark.parametrize("content_type", ["text/plain", "image/png"])
def test_an_empty_body_of_another_type_is_refused(content_type: str) -> None:
    for reader in (read_json, read_body):
        assert refused(reader, b"", content_type).message.startswith("Unsupported Media Type: ")


def test_video_routes_name_their_media_types() -> None:
    error = refused(read_body, b"{}", "text/plain")
    assert error.status == 400
    assert "multipart/form-data" in error.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "body is empty; expected JSON"),
        (b" ", "line 1, column 2"),
        (b'{"secret": }', "position 11"),
        (b'{"secret" 1}', "Expecting ':' delimiter at line 1"),
        (b'{"secret": "\\x"}', "escape"),
        (b'{"secret": NaN}', "NaN"),
        (b'{"secret": -Infinity}', "Infinity"),
        (b'{"secret": 1e999}', "too large"),
        (b'{"secret": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"secret": 1, "secret": 2}', "twice"),
        (b'{"secret": "\xff"}', "utf-8"),
        (b"[" * 100_000, "nested"),
        (b'["secret"]', "is a list; expected an object"),
        (b'"secret"', "is text"),
        (b"null", "is null"),
    ],
)
def test_bad_json(content: bytes, says: str) -> None:
    error = refused(read_json, content, "application/json")
    assert (error.status, error.param) == (400, "body")
    assert says in error.message
    assert "secret" not in error.message


def test_multipart_with_a_file() -> None:
    found = form({"prompt": "a robot", "fps": "24"}, input_reference=("robot.jpg", b"\xff\xd8", "image/jpeg"))
    assert found.fields == {"prompt": "a robot", "fps": "24"}
    assert found.uploads == {"input_reference": [Upload("robot.jpg", b"\xff\xd8", "image/jpeg")]}


def test_urlencoded() -> None:
    found = form({"prompt": "a+b & é", "extra_params[guardrails]": "false", "list[]": ["0", "1"]})
    assert found == Body({"prompt": "a+b & é", "extra_params": {"guardrails": "false"}, "list": ["0", "1"]})


def test_small_chunks() -> None:
    request = text_parts(("prompt", "é" * 50), ("extra_params[a][b]", "1"))
    assert read(request, chunk=3).fields == {"prompt": "é" * 50, "extra_params": {"a": {"b": "1"}}}


@pytest.mark.parametrize("urlencoded", [True, False])
def test_fields_above_the_default_limit(urlencoded: bool) -> None:
    text = "data:image/png;base64," + "A" * (2 * 2**20)
    request = httpx.Request("POST", URL, data={"image_reference": text})
    found = read(request if urlencoded else text_parts(("image_reference", text)))
    assert found.fields == {"image_reference": text}


def test_openai_sdk() -> None:
    fields = {"num_frames": 5, "extra_params": {"guardrails": False, "list": [0, 1], "none": None}}
    found = read(sdk_request(prompt="hi", seconds="4", extra_body=fields))
    extra = {"guardrails": "false", "list": ["0", "1"]}
    assert found.fields == {"prompt": "hi", "seconds": "4", "num_frames": "5", "extra_params": extra}


def test_openai_sdk_with_a_file() -> None:
    found = read(sdk_request(prompt="hi", input_reference=("a.png", b"abc", "image/png"), extra_body={"fps": 10}))
    assert found.fields == {"prompt": "hi", "fps": "10"}
    assert found.uploads == {"input_reference": [Upload("a.png", b"abc", "image/png")]}


def test_several_files_under_one_name() -> None:
    files = [("input_references[]", ("a.png", b"a")), ("input_references[]", ("b.png", b"b"))]
    found = read(httpx.Request("POST", URL, files=files))
    assert [upload.content for upload in found.uploads["input_references"]] == [b"a", b"b"]


def test_file_input_left_empty() -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="input_reference"; filename=""\r\n\r\n\r\n--x--\r\n'
    assert asyncio.run(read_body(request_of(part, "multipart/form-data; boundary=x"))) == Body({})


def test_a_large_file() -> None:
    content = bytes(range(256)) * 2**13
    found = form(video=("v.mp4", content)).uploads["video"][0].content
    assert isinstance(found, DiskFile)
    assert b"".join(found.chunks()) == content
    found.close()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"--x--", "multipart/form-data"),
        (b"nothing of the kind", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", "multipart/form-data; boundary=x"),
    ],
)
def test_malformed_forms(content: bytes, content_type: str) -> None:
    error = refused(read_body, content, content_type)
    assert (error.status, error.param) == (400, "body")


@pytest.mark.parametrize("cut", [1, 5, 40, 60, 90])
def test_a_truncated_form(cut: int) -> None:
    whole = text_parts(("prompt", "abc"), ("seed", "5"))
    content, content_type = whole.read(), whole.headers["content-type"]
    error = refused(read_body, content.rstrip()[:-cut], content_type)
    assert error.status == 400 and error.param == "body"


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"\r\nan epilogue, which nobody reads"])
def test_an_epilogue(epilogue: bytes) -> None:
    whole = text_parts(("prompt", "abc"))
    request = request_of(whole.read().rstrip() + epilogue, whole.headers["content-type"], chunk=7)
    assert asyncio.run(read_body(request)).fields == {"prompt": "abc"}


def test_too_many_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_module, "MAX_FIELDS", 3)
    assert "Too many fields" in refused(read_body, b"a=1&b=1&c=1&d=1", "application/x-www-form-urlencoded").message


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("declared", [False, True])
def test_body_too_large(content_type: str, declared: bool) -> None:
    content = b'{"a":"' + b"x" * (10 if declared else 200)
    settings = IntakeSettings(request_bytes=100)
    request = request_of(content, content_type, 50, "101" if declared else None, settings)
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body(request))
    assert caught.value.status == 413


@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("content_type", ["application/json", *body_module.FORMS])
def test_a_body_for_which_there_is_no_room(content_type: str, declared: bool) -> None:
    content = json.dumps({"prompt": "x" * 20_000}).encode()
    if "urlencoded" in content_type:
        content = b"prompt=" + content
    if content_type.startswith("multipart"):
        whole = httpx.Request("POST", URL, files={"image": content})
        content, content_type = whole.read(), whole.headers["content-type"]
    settings = IntakeSettings(request_bytes=50_000, spill_bytes=0, replica_bytes=1_000_000, disk_bytes=100_000)
    intake, pulled = Intake(settings), Counter[str]()

    def request() -> Request:
        found = request_of(content, content_type, 1000, str(len(content)) if declared else None)
        found.scope["state"] = {"holding": intake.holding("client")}

        async def receive() -> Message:
            pulled["pieces"] += 1
            return await found.receive()

        return Request(found.scope, receive)

    other, another = intake.holding("other"), intake.holding("another")
    for holding in (other, another):
        holding.take(460_000)
        holding.reserve_disk(46_000)
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body(refused := request()))
    refused.scope["state"]["holding"].release()
    assert (caught.value.status, "Retry-After" in caught.value.headers) == (429, True)
    at_once = declared and "urlencoded" not in content_type
    assert pulled["pieces"] == 0 if at_once else 0 < pulled["pieces"] < 18
    other.release()
    found = asyncio.run(read_body(again := request()))
    assert found.fields or found.uploads
    again.scope["state"]["holding"].release()


async def _echo(request: Request) -> Response:
    try:
        found = await read_body(request)
    except ApiError as error:
        return error.response("id")
    sizes = {name: [len(upload.content) for upload in uploads] for name, uploads in found.uploads.items()}
    return JSONResponse({"fields": found.fields, "uploads": sizes})


async def _posted(**arguments: Any) -> httpx.Response:
    transport = httpx.ASGITransport(
        app=HeldRequests(Starlette(routes=[Route("/", _echo, methods=["POST"])]), Intake(IntakeSettings()))
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        return await client.post("/", **arguments)


def test_within_an_application() -> None:
    answer = asyncio.run(_posted(data={"extra_params[a]": "1"}, files={"image": b"abc"}))
    assert answer.json() == {"fields": {"extra_params": {"a": "1"}}, "uploads": {"image": [3]}}

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"a":'
        yield b" 1}"

    answer = asyncio.run(_posted(content=chunks(), headers={"content-type": "application/json"}))
    assert answer.json()["fields"] == {"a": 1}
    answer = asyncio.run(_posted(content=b"?", headers={"content-type": "multipart/form-data"}))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "body"


@given(
    st.binary(max_size=200),
    st.sampled_from(["application/json", *body_module.FORMS, "multipart/form-data; boundary=x"]),
)
def test_any_bytes(content: bytes, content_type: str) -> None:
    try:
        asyncio.run(read_body(request_of(content, content_type, chunk=7)))
    except ApiError as error:
        assert error.status == 400
