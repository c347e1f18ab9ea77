"""Requests as bytes, drawn from a seed: valid ones, with odd values, damaged bodies, headers, paths and methods."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from urllib.parse import quote

from tests.fuzz.encodings import BOUNDARY, TYPES, damaged, encoded
from tests.fuzz.requests import CALLS, UNKNOWN_JOB, Call, refused_last
from tests.fuzz.values import mutated

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND")
_WEIGHTS = [call.weight for call in CALLS]
_ODD_TYPES = (
    "",
    "text/plain",
    "application/json; charset=utf-16",
    "APPLICATION/JSON ; a=b",
    "application/json, text/plain",
    "application/xml",
    "application/octet-stream",
    "multipart/form-data",
    "multipart/form-data; boundary=",
    f"multipart/form-data; boundary={'b' * 200}",
    f'multipart/form-data; boundary="{BOUNDARY}"; charset=utf-7',
    "multipart/mixed; boundary=x",
    "application/x-www-form-urlencoded; charset=latin-1",
    "application/msgpack",
    "/",
    "json",
    "a/b;" * 100,
)
_LONG = "x" * 8000
_ODD_HEADERS: tuple[tuple[str, str], ...] = (
    ("Accept", "application/xml"),
    ("Accept", "*/*;q=x, " * 100),
    ("Accept-Encoding", "zstd, br;q=0"),
    ("Content-Encoding", "gzip"),
    ("Content-Encoding", "br, gzip, deflate"),
    ("Content-Language", "é"),
    ("Expect", "100-continue"),
    ("Range", "bytes=0-"),
    ("Range", "bytes=5-1"),
    ("Range", "bytes=" + "0-1," * 500),
    ("Range", "pages=1-99999999999999999999"),
    ("If-None-Match", '"x", W/"y", *'),
    ("If-Range", "yesterday"),
    ("If-Modified-Since", "Thu, 99 Foo 99999 99:99:99 GMT"),
    ("Last-Event-ID", "-1"),
    ("Last-Event-ID", "9" * 400),
    ("Last-Event-ID", "٣"),
    ("Idempotency-Key", ""),
    ("Idempotency-Key", "k" * 256),
    ("Idempotency-Key", "é\tx"),
    ("Idempotency-Key", "fuzz"),
    ("X-Request-Id", "x" * 256),
    ("X-Request-Id", "é\tx"),
    ("X-Request-Id", "{}%s<script>"),
    ("Authorization", "Bearer " + "x" * 500),
    ("Authorization", "Basic ::::"),
    ("Cookie", "a=" + _LONG),
    ("X-Long", _LONG),
    ("X-Forwarded-For", "127.0.0.1, " * 100),
    ("X-Forwarded-Proto", "gopher"),
    ("X-Forwarded-Prefix", "//evil"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Request-Timeout-Seconds", "0.001"),
    ("serve_multiplexed_model_id", "é"),
    ("X-Session-Id", "x" * 300),
    ("X-Request-Disconnect-Disabled", "?1"),
    ("Upgrade", "h2c"),
    ("Origin", "null"),
    ("Traceparent", "00-" + "0" * 32 + "-0-zz"),
)
_ODD_IDS = (
    "",
    "x",
    "video_gen_",
    UNKNOWN_JOB.upper(),
    "sync",
    "generations",
    "..",
    "%2e%2e",
    "%2F%2Fetc%2Fpasswd",
    "%00",
    "%ff%fe",
    "%F0%9F%A6%BE",
    "a" * 3000,
    "-1",
    "*",
    "{id}",
    "%25%32%65",
    ";a=b",
    "img_gen_" + "0" * 32,
    "'%20or%201=1--",
)
_ODD_QUERIES = (
    "limit=-1",
    "limit=101",
    "limit=1e3",
    "limit=%D9%A3",
    "limit=1&limit=2",
    "limit=" + "9" * 5000,
    "order=up",
    "order=asc&after=%00",
    "after=" + "x" * 5000,
    "after=%ff",
    "variant=thumbnail",
    "previews=maybe",
    "%00=%00",
    "a[b]=c&" * 50,
    "=&=&&&",
    "%",
    "limit",
)


@dataclass(frozen=True)
class Attempt:
    """A request as it goes over the wire.

    Attributes:
        number: which one it is among those of its seed.
        what: how it was made.
        method, path: of its first line.
        content: all of its bytes, head and body.
        sound: whether it is whole and well-formed HTTP, so that it has to be answered; else its connection may be
            closed.
    """

    number: int
    what: str
    method: str
    path: str
    content: bytes
    sound: bool = True


@dataclass(frozen=True)
class _Message:
    """What an attempt is put together from."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    what: tuple[str, ...] = ()

    def add(self, what: str, *headers: tuple[str, str]) -> _Message:
        return replace(self, headers=(*self.headers, *headers), what=(*self.what, what))


def attempt(seed: int, number: int) -> Attempt:
    """One of the requests of a seed; each can be drawn on its own."""
    draw = random.Random(f"{seed}/{number}")
    message = _message(draw.choices(CALLS, _WEIGHTS)[0], draw)
    if draw.random() < 0.15:
        message = _odd_head(message, draw)
    return _framed(number, message, draw)


def _message(call: Call, draw: random.Random) -> _Message:
    if call.fields is None:
        message = _Message(call.method, call.path, (), b"")
        return _odd_place(message, draw) if draw.random() < 0.7 else message
    encoding, what, fields = draw.choice(call.encodings), [], call.fields
    if draw.random() < 0.75:
        fields = mutated(fields, draw)
        what.append("odd values")
    if call.waits and draw.random() < 0.9:
        fields = refused_last(fields)
    content = encoded(encoding, fields, call.files if encoding == "multipart" else {})
    if content and draw.random() < 0.2:
        content = damaged(encoding, content, draw)
        what.append("a damaged body")
    media_type = TYPES[encoding]
    if draw.random() < 0.06:
        media_type = draw.choice((*_ODD_TYPES, *TYPES.values()))
        what.append("another type")
    return _Message(call.method, call.path, (("Content-Type", media_type),), content, (encoding, *what))


def _odd_place(message: _Message, draw: random.Random) -> _Message:
    path = message.path.partition("?")[0]
    match draw.randrange(4):
        case 0:
            path = path.replace(UNKNOWN_JOB, draw.choice(_ODD_IDS)).replace("cosmos3-tiny", draw.choice(_ODD_IDS))
        case 1:
            path += "?" + draw.choice(_ODD_QUERIES)
        case 2:
            place = draw.randrange(1, len(path))
            odd = draw.choice(("/", "//", ".", "/../", "é", "\0", " ", "?", "#", "%", "\\", "a" * 4000))
            path = path[:place] + quote(odd, safe="/.") + path[place:]
        case _:
            path = draw.choice((path + "/", path.upper(), "/v1" + path, path[:-1] or "/", "/" + path, path + "/x"))
    return replace(message, path=path, what=("an odd place",))


def _odd_head(message: _Message, draw: random.Random) -> _Message:
    match draw.randrange(5):
        case 0:
            return replace(message, method=draw.choice(METHODS), what=(*message.what, "another method"))
        case 1:
            many = [(f"X-Many-{number}", "x" * 20) for number in range(draw.choice((50, 90)))]
            return message.add("many headers", *many)
        case 2:
            first = message.headers or (("Accept", "*/*"),)
            return message.add("a repeated header", *first)
    return message.add("odd headers", *draw.choices(_ODD_HEADERS, k=draw.choice((1, 1, 2, 3))))


def _framed(number: int, message: _Message, draw: random.Random) -> Attempt:
    """The message with its length, sometimes in chunks, and rarely not as HTTP has it."""
    body, head = message.body, [f"{message.method} {message.path} HTTP/1.1", "Host: localhost", "Connection: close"]
    head += [f"{name}: {value}" for name, value in message.headers]
    what, sound = list(message.what), True
    # A method that has no body may have one all the same.
    if body or message.method == "POST":
        if draw.random() < 0.05:
            body = _chunked(body, draw)
            head.append("Transfer-Encoding: chunked")
            what.append("in chunks")
        else:
            head.append(f"Content-Length: {len(body)}")
    if draw.random() < 0.04:
        sound = False
        head, body = _unsound(head, body, draw)
        what.append("not HTTP")
    raw = "\r\n".join(head).encode("utf-8", errors="replace") + b"\r\n\r\n" + body
    return Attempt(number, ", ".join(what) or "as it should be", message.method, message.path, raw, sound)


def _chunked(body: bytes, draw: random.Random) -> bytes:
    size = draw.choice((1000, 4096, len(body) or 1))
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks) + b"0\r\n\r\n"


def _unsound(head: list[str], body: bytes, draw: random.Random) -> tuple[list[str], bytes]:
    match draw.randrange(10):
        case 0:
            return head, body[: len(body) // 2]
        case 1:
            return [*head, "Content-Length: 5"], body
        case 2:
            return [*head, "Content-Length: -1"], body
        case 3:
            return [*head, "Transfer-Encoding: chunked"], b"zz\r\n" + body
        case 4:
            return [*head, "X\0: y", "no colon here"], body
        case 5:
            return [head[0].replace("HTTP/1.1", draw.choice(("HTTP/9.9", "", "HTTP/1.0 x"))), *head[1:]], body
        case 6:
            return [*head, "X-Large: " + "x" * 100_000], body
        case 7:
            return ["A" * 40 + head[0][head[0].index(" ") :], *head[1:]], body
        case 8:
            return [head[0].replace(" /", " ", 1), *head[1:]], body
    return [head[0].replace("/", "/\x01é ", 1), *head[1:]], body
