"""Large bodies against the running graph: what Serve's HTTP server and the Ingress take of memory for them."""

from __future__ import annotations

import base64
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from cosmos3_core.media.stills import encode_image
from deployments.local.launch import RunningGraph
from tests.graph.processes import replica, titled
from tests.parity.cases import picture
from tests.surface.inputs import TINY, as_parts

MEGABYTE = 2**20
PNG = encode_image(picture(32, 48, seed=1), "png")
# What a process takes for anything else, and a few windows.
MARGIN = 64 * MEGABYTE


@contextmanager
def peaks(graph: RunningGraph) -> Iterator[dict[str, int]]:
    """Fills in by how many bytes the memory of the processes grew at most."""
    patterns = {"proxy": "ProxyActor", "ingress": replica("Ingress", "front"), "jobs": replica("Jobs", "front")}
    found = {name: pid for name, pattern in patterns.items() for pid in titled(pattern, graph.processes())}
    assert set(found) == set(patterns)
    before = {name: _resident(pid, "VmRSS") for name, pid in found.items()}
    for pid in found.values():
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    grown: dict[str, int] = {}
    yield grown
    grown |= {name: _resident(pid, "VmHWM") - before[name] for name, pid in found.items()}
    print({name: f"{before[name] >> 20} + {count >> 20} MiB" for name, count in grown.items()})


def _resident(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) * 1024


def _connected(graph: RunningGraph) -> socket.socket:
    host, _, port = graph.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def test_a_large_upload_passes_through_little_memory(graph: RunningGraph, http: httpx.Client) -> None:
    file = PNG + os.urandom(MEGABYTE) + bytes(300 * MEGABYTE)
    with peaks(graph) as grown:
        answer = http.post("/v1/videos/sync", files=[*as_parts(TINY), ("input_reference", ("a.png", file))])
    assert answer.status_code == 200, answer.text
    assert max(grown.values()) < MARGIN


def test_a_large_json_body_costs_no_more_than_is_reserved_for_it(graph: RunningGraph, http: httpx.Client) -> None:
    uri = "data:image/png;base64," + base64.b64encode(PNG + bytes(30 * MEGABYTE)).decode()
    with peaks(graph) as grown:
        answer = http.post("/v1/videos/sync", json=TINY | {"image_reference": uri})
    assert answer.status_code == 200, answer.text
    assert grown["ingress"] < 7 * len(uri) + MARGIN
    assert max(grown["proxy"], grown["jobs"]) < MARGIN


def test_a_body_that_is_not_read_stays_with_the_client(graph: RunningGraph) -> None:
    head = b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 400000000\r\n\r\n"
    with peaks(graph) as grown, _connected(graph) as connection:
        connection.sendall(head)
        connection.settimeout(20)
        for _ in range(50):
            connection.sendall(bytes(MEGABYTE))
        assert connection.recv(12) == b"HTTP/1.1 400"
    assert max(grown.values()) < MARGIN


def test_bodies_that_say_they_are_too_large(graph: RunningGraph) -> None:
    with _connected(graph) as connection:
        connection.sendall(b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 413") and b"x-request-id" in answer.lower()


def test_clients_that_hang_up_in_the_middle_leave_nothing(graph: RunningGraph, http: httpx.Client) -> None:
    (ingress,) = titled(replica("Ingress", "front"), graph.processes())
    body = httpx.Request("POST", graph.url, files={"input_reference": ("a.png", PNG + bytes(30 * MEGABYTE))})
    content = body.read()
    kind, length = body.headers["content-type"].encode(), str(len(content)).encode()
    head = b"POST /v1/videos HTTP/1.1\r\nhost: x\r\ncontent-type: " + kind + b"\r\ncontent-length: " + length
    for _ in range(3):
        with _connected(graph) as connection:
            connection.sendall(head + b"\r\n\r\n" + content[: 20 * MEGABYTE])
    deadline = time.monotonic() + 30
    while _unnamed_files(ingress) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _unnamed_files(ingress) == 0
    assert http.post("/v1/videos/sync", files=as_parts(TINY)).status_code == 200


def _unnamed_files(pid: int) -> int:
    """Files on the disk that a process holds and that have no name any more, as uploads have none."""
    count = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:
            continue
        count += target.startswith("/tmp/#") or (target.startswith("/tmp/") and target.endswith("(deleted)"))
    return count
