"""Files as responses, from a folder and from an object store, for which fsspec's memory file system is used."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deployments.ingress import media_response
from deployments.ingress.errors import ApiError
from deployments.wire.media_store import MediaStore, delete_media

CONTENT = bytes(range(256)) * 4


@pytest.fixture(params=["file", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = f"file://{tmp_path}" if request.param == "file" else f"memory://{tmp_path.name}"
    return MediaStore(url).put("outputs/a.mp4", CONTENT)


def get(uri: str, method: str = "GET", **headers: str) -> httpx.Response:
    async def file(request: Request) -> Response:
        try:
            return await media_response.media_response(request, uri, "video/mp4", "a.mp4")
        except ApiError as error:
            return error.response("id")

    async def asked() -> httpx.Response:
        app = Starlette(routes=[Route("/", file)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server") as client:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return await client.request(method, "/", headers=named)

    return asyncio.run(asked())


def test_the_whole_file(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_response, "CHUNK_BYTES", 100)
    answer = get(uri)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "video/mp4" and answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == "1024" and answer.headers["etag"]
    assert answer.headers["content-disposition"] == 'attachment; filename="a.mp4"'
    assert get(uri).headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=1023-9999", 1023, 1024),
        (f"bytes=1000-{2**63 - 1}", 1000, 1024),
    ],
)
def test_a_range(uri: str, asked: str, start: int, end: int) -> None:
    answer = get(uri, Range=asked)
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1024"
    assert answer.headers["content-length"] == str(end - start)


def test_a_range_beyond_the_file(uri: str) -> None:
    answer = get(uri, Range="bytes=5000-6000")
    assert answer.status_code == 416 and answer.headers["content-range"] == "bytes */1024"


@pytest.mark.parametrize(
    "asked",
    ["bytes=abc", "items=0-1", "bytes", "bytes=", "bytes=-", "bytes=5-2", f"bytes={'9' * 5000}-", "bytes=0-1-2"],
)
def test_a_malformed_range_gets_the_whole_file(uri: str, asked: str) -> None:
    answer = get(uri, Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_several_ranges(uri: str) -> None:
    answer = get(uri, Range="bytes=0-9, 20-29")
    assert answer.status_code in (200, 206) and CONTENT[20:30] in answer.content


def test_a_range_of_a_changed_file_gets_the_whole_file(uri: str) -> None:
    etag = get(uri).headers["etag"]
    assert get(uri, Range="bytes=0-9", If_Range='"another"').status_code == 200
    assert get(uri, Range="bytes=0-9", If_Range=etag).status_code == 206


def test_head(uri: str) -> None:
    answer = get(uri, "HEAD")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "1024")


def test_a_deleted_file(uri: str) -> None:
    delete_media(uri)
    answer = get(uri)
    assert answer.status_code == 404 and "is gone" in answer.json()["error"]["message"]
    delete_media(uri)
