"""The most memory that clients can make the ingress take, measured in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from cosmos3_core.media.stills import encode_image
from deployments.ingress.intake import TIDY_AFTER_S
from deployments.settings.intake import IntakeSettings
from tests.parity.cases import picture

MEGABYTE = 2**20
SETTINGS = IntakeSettings(
    request_bytes=128 * MEGABYTE,
    spill_bytes=MEGABYTE // 4,
    replica_bytes=200 * MEGABYTE,
    disk_bytes=600 * MEGABYTE,
    share=1,
    idle_s=5,
    window_bytes=65536,
    connections=64,
)
# What uvicorn receives at a time of a connection, and its own high-water mark.
PIECE = 2**18 + 2**16
BOUND = SETTINGS.replica_bytes + SETTINGS.connections * 2 * (SETTINGS.window_bytes + 2 * PIECE)
# The allocator's.
SLACK = 48 * MEGABYTE
PNG = encode_image(picture(32, 48, seed=1), "png")
FIELDS = {"prompt": "a robot", "size": "64x64", "num_frames": "5"}


@dataclass(frozen=True)
class Server:
    """The process, where it listens, and its folder of media."""

    process: psutil.Process
    url: str
    media: Path

    def resident(self, name: str) -> int:
        """`VmRSS` or `VmHWM` in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name))) * 1024


@pytest.fixture(scope="module")
def server(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    media = tmp_path_factory.mktemp("media")
    settings = SETTINGS.model_copy(update={"folder": tmp_path_factory.mktemp("intake")})
    with socket.create_server(("127.0.0.1", 0)) as listening:
        arguments = [str(nano), media.as_uri(), settings.model_dump_json(), str(listening.fileno())]
        command = [sys.executable, "-m", "tests.ingress.memory_server", *arguments]
        process = subprocess.Popen(command, pass_fds=[listening.fileno()])
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    try:
        found = Server(psutil.Process(process.pid), url, media)
        # Until everything has been loaded, and a decoding process runs.
        answer = httpx.post(f"{url}/v1/videos", data=FIELDS, files={"input_reference": PNG}, timeout=120)
        assert answer.status_code == 200, answer.text
        yield found
    finally:
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def peak(server: Server) -> Iterator[None]:
    """Check the peak of the memory, and that nothing is left."""
    before = server.resident("VmRSS")
    # The kernel's mark begins anew.
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")
    yield
    time.sleep(TIDY_AFTER_S + 0.5)
    peak, after = server.resident("VmHWM") - before, server.resident("VmRSS") - before
    print(f"peak {peak >> 20} MiB beyond {before >> 20}, bound {BOUND >> 20}; {after >> 20} stay")
    assert peak < BOUND + SLACK
    assert open_intake_files(server) == 0
    for file in (server.media / "inputs").iterdir():
        file.unlink()


def open_intake_files(server: Server) -> int:
    """Uploads that the server still holds."""
    links = (os.readlink(link) for link in Path(f"/proc/{server.process.pid}/fd").iterdir())
    return sum("/intake" in target for target in links)


def connected(server: Server) -> socket.socket:
    host, _, port = server.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(content_type: str, length: int) -> bytes:
    """The head of a request whose body follows."""
    lines = ("POST /v1/videos HTTP/1.1", "host: x", f"content-type: {content_type}", f"content-length: {length}")
    return "\r\n".join((*lines, "", "")).encode()


def upload(server: Server, megabytes: int) -> int:
    """The status of a large upload: a picture, and much behind it that no decoder looks at."""
    files = {"input_reference": ("a.png", PNG + bytes(megabytes * MEGABYTE))}
    return httpx.post(f"{server.url}/v1/videos", data=FIELDS, files=files, timeout=60).status_code


def json_body(server: Server, megabytes: int) -> int:
    """The status of a large picture in JSON."""
    uri = "data:image/png;base64," + base64.b64encode(PNG + bytes(megabytes * MEGABYTE)).decode()
    content = json.dumps(FIELDS | {"image_reference": uri}).encode()
    headers = {"content-type": "application/json"}
    return httpx.post(f"{server.url}/v1/videos", content=content, headers=headers, timeout=60).status_code


def many_values(server: Server, megabytes: int) -> int:
    """The status of a small body that holds very many values."""
    content = b'{"prompt": "x", "unknown": [' + b"[]," * (megabytes * MEGABYTE // 3) + b"[]]}"
    headers = {"content-type": "application/json"}
    return httpx.post(f"{server.url}/v1/videos", content=content, headers=headers, timeout=60).status_code


def endless(server: Server, megabytes: int) -> int:
    """The status of a body of which nobody knows how long it is."""

    def pieces() -> Iterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(megabytes):
            yield b"x" * MEGABYTE

    headers = {"content-type": "application/json"}
    try:
        return httpx.post(f"{server.url}/v1/videos", content=pieces(), headers=headers, timeout=60).status_code
    except httpx.HTTPError:
        # The server has answered and closed the connection while the client still sends.
        return 0


def test_everything_at_once(server: Server) -> None:
    with ThreadPoolExecutor(24) as pool:
        tries = [pool.submit(upload, server, 60) for _ in range(16)]
        tries += [pool.submit(json_body, server, 10) for _ in range(8)]
        tries += [pool.submit(many_values, server, 1) for _ in range(8)]
        tries += [pool.submit(endless, server, 200) for _ in range(4)]
        found = Counter(each.result() for each in tries)
    assert set(found) <= {200, 400, 413, 429, 0} and found[200] >= 1, found
    # Nothing stays reserved.
    assert (upload(server, 100), json_body(server, 10)) == (200, 200)


def test_uploads_that_do_not_fit_are_not_read(server: Server) -> None:
    """Half of what is sent is not even taken."""
    with ThreadPoolExecutor(12) as pool:
        found = Counter(pool.map(lambda _: upload(server, 100), range(12)))
    assert set(found) == {200, 429} and found[200] >= 4


def test_slow_bodies(server: Server) -> None:
    """They are ended in time, and a well-behaved client beside them is served."""
    began = time.monotonic()
    connections = [connected(server) for _ in range(40)]
    try:
        for connection in connections:
            connection.sendall(head("application/json", MEGABYTE))
        assert upload(server, 1) == 200
        for _ in range(3):
            time.sleep(0.5)
            for connection in connections:
                connection.sendall(b"x")
        found = Counter(connection.recv(12) for connection in connections)
        # No more are read than there is room for.
        assert set(found) == {b"HTTP/1.1 408", b"HTTP/1.1 429"} and found[b"HTTP/1.1 408"] >= 20, found
        assert time.monotonic() - began < 30
    finally:
        for connection in connections:
            connection.close()


def test_clients_that_do_not_read_their_answers(server: Server) -> None:
    connections = [connected(server) for _ in range(20)]
    try:
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
        assert upload(server, 1) == 200
    finally:
        for connection in connections:
            connection.close()


def test_clients_that_hang_up_in_the_middle(server: Server) -> None:
    content = httpx.Request("POST", server.url, data=FIELDS, files={"input_reference": PNG + bytes(20 * MEGABYTE)})
    body, kind = content.read(), content.headers["content-type"]
    for _ in range(10):
        with connected(server) as connection:
            connection.sendall(head(kind, len(body)) + body[: 10 * MEGABYTE])
    deadline = time.monotonic() + 10
    while open_intake_files(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert upload(server, 100) == 200
