"""Clients that want a server's memory: large, long, many and slow requests, each kind in some threads at once."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.hostile_files import png
from tests.surface.inputs import LONG

MIB = 2**20
UPLOAD = 200 * MIB
ENDLESS = 2048 * MIB
PROMPT = 100 * 10**6
PICTURES = 1000
STREAMS = 200
SLOW = 25
"""Slow connections of a thread."""
GIVES_UP_AFTER_S = 20.0
"""How long an attacker waits for one answer, or to send one more piece."""
_PIECE = bytes(MIB)
_JSON, _FORM = "application/json", "multipart/form-data; boundary=b"
_PART = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
_FILE = b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="x.mp4"\r\n\r\n'


@dataclass
class Target:
    """The server that is attacked.

    Attributes:
        url: where it answers.
        headers: sent with every request.
        over: set when the attack has to end.
        answers: how often each kind of attacker got each status; 0 where it got none.
    """

    url: httpx.URL
    headers: dict[str, str]
    over: threading.Event = field(default_factory=threading.Event)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, status: int) -> None:
        """Count an answer."""
        with self._lock:
            self.answers[name, status] += 1

    def head(self, path: str, length: int | None, kind: str) -> bytes:
        """The head of a POST; without a length its body comes in chunks."""
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        lines = [
            f"POST {path} HTTP/1.1",
            f"Host: {self.url.host}",
            "Connection: close",
            f"Content-Type: {kind}",
            framing,
        ]
        return _lines([*lines, *(f"{name}: {value}" for name, value in self.headers.items())])

    def opened(self, receive_bytes: int | None = None) -> socket.socket:
        """A connection; `receive_bytes` makes its buffer small."""
        connection = socket.socket()
        if receive_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.settimeout(GIVES_UP_AFTER_S)
        connection.connect((self.url.host, self.url.port or 80))
        return connection

    def sent(self, name: str, head: bytes, pieces: Iterator[bytes]) -> None:
        """Send a request until it is answered, refused or over, and count its answer."""
        with self.opened() as connection:
            with contextlib.suppress(OSError):
                connection.sendall(head)
                for piece in pieces:
                    if self.over.is_set():
                        return
                    connection.sendall(piece)
            self.count(name, _status(connection, self.over))


def _lines(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _status(connection: socket.socket, over: threading.Event) -> int:
    """The status of an answer; 0 if none comes."""
    connection.settimeout(1.0)
    deadline, received = time.monotonic() + GIVES_UP_AFTER_S, b""
    while len(received) < 12 and time.monotonic() < deadline and not over.is_set():
        try:
            more = connection.recv(4096)
        except TimeoutError:
            continue
        except OSError:
            break
        if not more:
            break
        received += more
    text = received[9:12]
    return int(text) if text.isdigit() else 0


def _zeros(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield _PIECE


def _in_chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
    yield b"0\r\n\r\n"


def upload(target: Target) -> None:
    """A video of 200 MiB that is none."""
    fields = b"".join(_PART % field for field in ((b"prompt", b"x"), (b"size", b"64x64")))
    begin, end = fields + _FILE, b"\r\n--b--\r\n"

    def pieces() -> Iterator[bytes]:
        yield begin
        yield from _zeros(UPLOAD)
        yield end

    target.sent("upload", target.head("/v1/videos", len(begin) + UPLOAD + len(end), _FORM), pieces())


def declared(target: Target) -> None:
    """A body that says it has 2 GiB."""
    target.sent("2 GiB, declared", target.head("/v1/videos", ENDLESS, _JSON), _zeros(ENDLESS))


def undeclared(target: Target) -> None:
    """A body that does not say how long it is."""
    target.sent("2 GiB, in chunks", target.head("/v1/videos", None, _JSON), _in_chunks(_zeros(ENDLESS)))


def undeclared_form(target: Target) -> None:
    """The same as an upload."""

    def pieces() -> Iterator[bytes]:
        yield _FILE
        yield from _zeros(ENDLESS)

    target.sent("2 GiB, a form", target.head("/v1/videos/sync", None, _FORM), _in_chunks(pieces()))


def long_prompt(target: Target) -> None:
    """A prompt of 100 MB, of a video and of a chat."""
    text = b"x" * PROMPT
    for path, before, after in (
        ("/v1/videos", b'{"prompt": "', b'"}'),
        ("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "', b'"}], "max_tokens": 1}'),
        ("/tokenize", b'{"prompt": "', b'"}'),
    ):
        head = target.head(path, len(before) + PROMPT + len(after), _JSON)
        target.sent(f"prompt, {path}", head, iter((before, text, after)))


def many_pictures(target: Target) -> None:
    """A thousand pictures in a chat."""
    uri = f"data:image/png;base64,{base64.b64encode(png(2000, 2000)).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": uri}}] * PICTURES
    body = json.dumps({"messages": [{"role": "user", "content": parts}], "max_tokens": 1}).encode()
    head = target.head("/v1/chat/completions", len(body), _JSON)
    target.sent("1,000 pictures", head, iter((body,)))


def slow_bodies(target: Target) -> None:
    """Bodies of a byte a second."""
    head = target.head("/v1/videos", 10**6, _JSON)
    _slowly(target, "slow bodies", lambda: target.opened(), head, lambda connection: connection.sendall(b" "))


def slow_readers(target: Target) -> None:
    """Answers that are read a byte a second."""
    head = _lines(["GET /openapi.json HTTP/1.1", f"Host: {target.url.host}"])
    _slowly(target, "slow readers", lambda: target.opened(4096), head, lambda connection: connection.recv(1))


def _slowly(
    target: Target, name: str, opened: Callable[[], socket.socket], head: bytes, move: Callable[[socket.socket], object]
) -> None:
    """Hold connections and move a byte on each every second, until the server has closed all of them, or it is over."""
    with contextlib.ExitStack() as stack:
        held = []
        for _ in range(SLOW):
            connection = stack.enter_context(opened())
            connection.sendall(head)
            connection.settimeout(1.0)
            held.append(connection)
        while held and not target.over.wait(1.0):
            for connection in tuple(held):
                try:
                    move(connection)
                except TimeoutError:
                    continue
                except OSError:
                    held.remove(connection)
                    target.count(name, _status(connection, target.over))


def event_streams(target: Target) -> None:
    """Two hundred streams of one job's events, with its previews, that nobody reads."""
    with httpx.Client(base_url=target.url, headers=target.headers, timeout=GIVES_UP_AFTER_S) as http:
        answer = http.post("/v1/videos", json=LONG)
        target.count("events, their job", answer.status_code)
        if answer.status_code != 200:
            target.over.wait(1.0)
            return
        path = f"/v1/videos/{answer.json()['id']}"
        lines = [f"GET {path}/events?previews=true HTTP/1.1", f"Host: {target.url.host}"]
        head = _lines([*lines, *(f"{name}: {value}" for name, value in target.headers.items())])
        with contextlib.ExitStack() as stack:
            for _ in range(STREAMS):
                stack.enter_context(target.opened(4096)).sendall(head)
            target.over.wait(GIVES_UP_AFTER_S)
        http.delete(path)


ATTACKERS: dict[Callable[[Target], None], int] = {
    upload: 6,
    declared: 2,
    undeclared: 3,
    undeclared_form: 3,
    long_prompt: 4,
    many_pictures: 3,
    slow_bodies: 4,
    slow_readers: 2,
    event_streams: 1,
}
"""How many threads there are of each kind."""


@contextmanager
def attacked(target: Target) -> Iterator[None]:
    """Attack until the block ends."""
    with ThreadPoolExecutor(sum(ATTACKERS.values())) as pool:
        for attacker, threads in ATTACKERS.items():
            for _ in range(threads):
                pool.submit(_repeated, attacker, target)
        try:
            yield
        finally:
            target.over.set()


def _repeated(attacker: Callable[[Target], None], target: Target) -> None:
    while not target.over.is_set():
        try:
            attacker(target)
        except (OSError, httpx.HTTPError):
            # The server may close a connection, or take none for a while.
            target.count(attacker.__name__, 0)
            target.over.wait(0.5)
