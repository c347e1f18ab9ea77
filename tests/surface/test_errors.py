"""C59: every kind of refusal and failure has the same form and discloses nothing."""

from __future__ import annotations

import base64
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local.launch import RunningGraph
from tests.graph.events import submitted
from tests.surface.faults import nowhere_to_write
from tests.surface.inputs import TINY, TOO_LARGE, as_parts
from tests.surface.reading import error_of, polled

SECRET = b"bytes of somebody's face, which are not a picture"
UPLOAD = ("/etc/passwd", SECRET, "image/png")
URI = f"data:image/png;base64,{base64.b64encode(SECRET).decode()}"
Arguments = tuple[str, str, dict[str, Any]]
"""Method, path and options of a request."""
REQUESTS: dict[str, tuple[int, Arguments]] = {
    "a wrong field": (400, ("POST", "/v1/videos", {"json": TINY | {"fps": 0}})),
    "a field as an object": (400, ("POST", "/v1/images/generations", {"json": {"prompt": {"image": URI}}})),
    "an upload that is not a picture": (400, ("POST", "/v1/videos", {"files": as_parts(TINY, input_reference=UPLOAD)})),
    "a data URI that is not a picture": (400, ("POST", "/v1/videos/sync", {"json": TINY | {"image_reference": URI}})),
    "base64 in place of a size": (400, ("POST", "/v1/videos", {"json": TINY | {"size": URI}})),
    "malformed JSON": (400, ("POST", "/v1/images/generations", {"content": b"{" + SECRET})),
    "a path in place of a picture": (400, ("POST", "/v1/videos", {"json": TINY | {"image_reference": "/etc/passwd"}})),
    "no such chat model": (404, ("POST", "/v1/chat/completions", {"json": {"model": "/etc/x", "messages": []}})),
    "no such route": (404, ("GET", "/v1/no/such/route", {})),
    "a file under an unknown name": (400, ("POST", "/v1/videos", {"files": as_parts(TINY, init_image=UPLOAD)})),
    "more than one video": (400, ("POST", "/v1/videos", {"json": TINY | {"num_outputs_per_prompt": 2}})),
    "another format": (400, ("POST", "/v1/videos/sync", {"json": TINY | {"format": "safetensors"}})),
    "contradicting fields": (400, ("POST", "/v1/videos", {"json": TINY | {"extra_body": {"seed": 2}}})),
    "a picture of a chat": (
        400,
        ("POST", "/v1/chat/completions", {"json": {"messages": [], "extra_body": {"height": 512}}}),
    ),
    "no body": (400, ("POST", "/v1/videos", {})),
    "a route of OpenAI's": (404, ("POST", "/v1/videos/edits", {"json": TINY})),
    "another method of a route": (405, ("GET", "/v1/videos/sync", {})),
    "no such job": (404, ("GET", "/v1/videos/video_gen_0/content", {})),
    "no such model": (404, ("GET", "/v1/models/nvidia/none", {})),
    "another method": (405, ("PUT", "/v1/videos", {"content": SECRET})),
    "base64 in place of a model": (400, ("POST", "/v1/videos", {"json": TINY | {"model": URI}})),
    "base64 in place of an aspect": (400, ("POST", "/v1/videos", {"json": TINY | {"aspect_ratio": URI}})),
    "a video of actions that is not a video": (
        400,
        ("POST", "/v1/actions/generations", {"json": TINY | {"video": URI}}),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_c59_refusals(name: str, http: httpx.Client) -> None:
    """C59: the reasons for which a request can be refused; 401 is in tests/chaos/test_keys.py."""
    status, (method, path, options) = REQUESTS[name]
    headers = {"X-Request-Id": f"surface-{status}"}
    if options.get("content", b"").startswith(b"{"):
        headers["Content-Type"] = "application/json"
    answer = http.request(method, path, headers=headers, **options)
    error_of(answer, status)
    assert answer.headers.get_list("x-request-id") == [f"surface-{status}"]
    discloses_no_media(answer)


def discloses_no_media(answer: httpx.Response) -> None:
    """No media in an answer, neither as sent nor decoded."""
    assert SECRET[:20] not in answer.content
    assert base64.b64encode(SECRET)[:20] not in answer.content


def test_c59_405_names_the_methods(http: httpx.Client) -> None:
    """C59: the allowed methods are named."""
    assert http.put("/v1/videos").headers["allow"] == "GET, HEAD, POST"


def test_c59_a_body_that_is_too_large(graph: RunningGraph) -> None:
    """C59: 413, before any of it is sent."""
    url = httpx.URL(graph.url)
    connection = HTTPConnection(url.host, url.port or 80, timeout=30)
    try:
        connection.putrequest("POST", "/v1/videos")
        headers = {"Content-Type": "application/json", "Content-Length": str(2**40), "X-Request-Id": "surface-413"}
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        raw = connection.getresponse()
        answer = httpx.Response(raw.status, headers=raw.getheaders(), content=raw.read())
    finally:
        connection.close()
    error_of(answer, 413)
    assert answer.headers["x-request-id"] == "surface-413"


def test_c59_content_of_a_failed_job(http: httpx.Client) -> None:
    """C59: 422."""
    job = submitted(http, TOO_LARGE)
    assert polled(http, job)[-1]["status"] == "failed"
    answer = http.get(f"/v1/videos/{job}/content", headers={"X-Request-Id": "surface-422"})
    error_of(answer, 422)
    assert answer.headers["x-request-id"] == "surface-422"


@pytest.mark.parametrize("path", ["/v1/videos/sync", "/v1/images/generations"])
def test_c59_a_failure_of_the_server(path: str, http: httpx.Client, graph_data: Path) -> None:
    """C59: 500 if the result cannot be written; the message names no folder, and the client is told not to retry."""
    fields = {name: TINY[name] for name in ("prompt", "size", "num_inference_steps")}
    with nowhere_to_write(graph_data):
        answer = http.post(path, json=fields, headers={"X-Request-Id": "surface-500"})
    error = error_of(answer, 500)
    assert str(graph_data) not in error["message"] and "outputs" not in error["message"]
    assert answer.headers["x-request-id"] == "surface-500" and answer.headers["x-should-retry"] == "false"
    assert http.post(path, json=fields | {"num_frames": 5} if "videos" in path else fields).status_code == 200


@pytest.mark.parametrize("given", ["a" * 256, "a" * 5000, "\u00e9", "a\tb", ""])
def test_c59_an_id_of_another_form_is_replaced_in_answer_and_body(given: str, http: httpx.Client) -> None:
    """C59: Serve would send it back as it came."""
    for path in ("/v1/nothing", "/v1/models"):
        answer = http.get(path, headers=[(b"X-Request-Id", given.encode())])
        (request_id,) = answer.headers.get_list("x-request-id")
        assert len(request_id) == 32 and request_id != given
        assert answer.status_code == 200 or answer.json()["error"]["request_id"] == request_id


def test_clients_set_no_time_limit_of_the_proxy(http: httpx.Client) -> None:
    """With Serve alone it is a 408 in plain text, which clients repeat."""
    headers = [(b"X-Request-Timeout-Seconds", b"0.01"), (b"serve_multiplexed_model_id", b"\xff")]
    answer = http.post("/v1/videos/sync", json=TINY, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4"), answer.text


@pytest.mark.parametrize("path", ["/v1/models/", "//v1//models", "/v1/models//"])
def test_slashes_more_or_less(path: str, http: httpx.Client) -> None:
    """No redirect, which not every client follows."""
    assert http.get(f"{str(http.base_url).rstrip('/')}{path}").json() == http.get("/v1/models").json()


@pytest.mark.parametrize("path", ["/v1/realtime/video", "/nowhere", "/v1/videos"])
def test_a_websocket_that_is_not_here_is_a_404(path: str, http: httpx.Client) -> None:
    """A 403 would say that it is there."""
    opening = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "X-Request-Id": "surface-ws",
    }
    answer = http.get(path, headers=opening)
    assert (answer.status_code, answer.json()["error"]["request_id"]) == (404, "surface-ws")
