"""Media by address through the whole graph: what may be reached, and what may not (C30, C47, spec 1.7)."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.graph.starting import READABLE
from tests.surface.inputs import TINY, as_parts, jpeg

SECRET = "not for clients"


@dataclass(frozen=True)
class Files:
    """A picture below the root that the operator named, and ways to a file beside the root."""

    picture: str
    outside: tuple[str, ...]


@pytest.fixture(scope="module")
def files(graph_data: Path) -> Files:
    root = graph_data / READABLE
    (root / "picture.jpg").write_bytes(jpeg("av_0", 64, 64)[1])
    secret = graph_data / "secret.jpg"
    secret.write_text(SECRET)
    (root / "link.jpg").symlink_to(secret)
    (root / "folder").symlink_to(graph_data)
    ways = (secret, f"{root}/../secret.jpg", f"{root}/%2e%2e/secret.jpg", root / "link.jpg", root / "folder/secret.jpg")
    return Files(f"file://{root}/picture.jpg", tuple(f"file://{way}" for way in ways))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server
        with pytest.raises(BlockingIOError):
            server.accept()


def chat(url: str) -> dict[str, Any]:
    content = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": content}], "max_tokens": 2}


def private(port: int) -> list[str]:
    """Addresses of this machine, of its network and of a cloud's metadata, as attackers spell them."""
    hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]")
    local = [f"http://{host}:{port}/x.png" for host in (*hosts, "0.0.0.0", "example.com@127.0.0.1")]
    return [*local, "http://169.254.169.254/latest/meta-data/", "http://[fd00:ec2::254]/", "http://10.0.0.1/x.png"]


def test_a_chat_reads_a_file_below_the_root(http: httpx.Client, files: Files) -> None:
    answer = http.post("/v1/chat/completions", json=chat(files.picture))
    assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] == 2


def test_a_video_begins_with_a_file_below_the_root(http: httpx.Client, files: Files) -> None:
    """Named so, it is the file that an upload would be: the same request, and so the same video."""
    parts = as_parts(TINY | {"image_reference": json.dumps({"image_url": files.picture})})
    named = http.post("/v1/videos/sync", files=parts)
    sent = http.post("/v1/videos/sync", files=as_parts(TINY, input_reference=jpeg("av_0", 64, 64)))
    assert named.status_code == sent.status_code == 200
    assert named.content == sent.content


def test_no_other_file_can_be_read(http: httpx.Client, files: Files) -> None:
    for way in files.outside:
        seen = http.post("/v1/chat/completions", json=chat(way))
        assert seen.status_code == 400 and seen.json()["error"]["param"] == "messages.0.content.1.image_url", way
        used = http.post("/v1/videos", data=TINY | {"image_reference": json.dumps({"image_url": way})})
        assert used.status_code == 400 and used.json()["error"]["param"] == "image_reference", way
        assert SECRET not in seen.text + used.text


def test_no_private_address_is_connected_to(http: httpx.Client, listener: socket.socket) -> None:
    for url in private(listener.getsockname()[1]):
        seen = http.post("/v1/chat/completions", json=chat(url))
        assert seen.status_code in (400, 422), (url, seen.text)
        assert seen.json()["error"]["param"] == "messages.0.content.1.image_url"
        used = http.post("/v1/videos", data=TINY | {"image_reference": json.dumps({"image_url": url})})
        assert used.status_code == 400 and used.json()["error"]["param"] == "image_reference", (url, used.text)
