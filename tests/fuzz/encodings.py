"""Bodies as bytes, in each form that a route takes, whole and damaged."""

from __future__ import annotations

import json
import random
import struct
from typing import Any
from urllib.parse import quote_plus

import msgpack

from tests.surface.inputs import Upload

BOUNDARY = "x7f3a"
TYPES = {
    "json": "application/json",
    "multipart": f"multipart/form-data; boundary={BOUNDARY}",
    "urlencoded": "application/x-www-form-urlencoded",
    "msgpack": "application/msgpack",
}
_DAMAGES = ("cut", "bytes", "doubled", "slice", "tail")


def encoded(encoding: str, fields: dict[str, Any], files: dict[str, Upload]) -> bytes:
    """A body; lone surrogates become what JSON escapes, or a question mark."""
    match encoding:
        case "json":
            return json.dumps(fields).encode()
        case "msgpack":
            return packed(fields)
        case "urlencoded":
            pairs = ((name, _as_text(value)) for name, value in fields.items())
            return "&".join(f"{_quoted(name)}={_quoted(text)}" for name, text in pairs).encode()
    return _multipart(fields, files)


def packed(fields: Any) -> bytes:
    """msgpack, in which integers end at 64 bits."""
    content: bytes = msgpack.packb(_narrow(fields), unicode_errors="surrogatepass")
    return content


def _narrow(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _narrow(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_narrow(entry) for entry in value]
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return quote_plus(text, errors="replace")


def _multipart(fields: dict[str, Any], files: dict[str, Upload]) -> bytes:
    parts = [(name, None, _as_text(value).encode(errors="replace"), None) for name, value in fields.items()]
    uploads = [(name, file, content, kind) for name, (file, content, kind) in files.items()]
    return b"".join(_part(*part) for part in (*parts, *uploads)) + f"--{BOUNDARY}--\r\n".encode()


def _part(name: str, file: str | None, content: bytes, kind: str | None) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'
    head += f'; filename="{file}"' if file is not None else ""
    head += f"\r\nContent-Type: {kind}" if kind is not None else ""
    return f"{head}\r\n\r\n".encode(errors="replace") + content + b"\r\n"


def damaged(encoding: str, content: bytes, draw: random.Random) -> bytes:
    """A body hurt as bytes: as any can be, or in a way of its form."""
    own = {"json": _hurt_json, "multipart": _hurt_multipart, "urlencoded": _hurt_urlencoded, "msgpack": _hurt_msgpack}
    if draw.random() < 0.6:
        return own[encoding](content, draw)
    data = bytearray(content)
    place = draw.randrange(len(data))
    match draw.choice(_DAMAGES):
        case "cut":
            del data[place:]
        case "bytes":
            for _ in range(draw.randrange(1, 20)):
                data[draw.randrange(len(data))] = draw.randrange(256)
        case "doubled":
            data *= 2
        case "slice":
            data[place : place + draw.randrange(1, 64)] = draw.randbytes(draw.randrange(64))
        case _:
            data += draw.choice((b"\0", b"}", b"x" * 1000, b"\xff\xfe"))
    return bytes(data)


def _hurt_json(content: bytes, draw: random.Random) -> bytes:
    text = content.decode()
    match draw.randrange(10):
        case 0:
            return f'{{"prompt": "x", "prompt": "y", {text[1:]}'.encode()
        case 1:
            return b"\xef\xbb\xbf" + content
        case 2:
            return text.encode(draw.choice(("utf-16", "utf-32", "utf-16-be")))
        case 3:
            return (draw.choice(("[", '{"a":', "[{")) * draw.choice((65, 10_000))).encode()
        case 4:
            number = draw.choice(("NaN", "-Infinity", "1e999", "01", "+1", "1" * 5000))
            return text.replace(": 1", f": {number}").encode()
        case 5:
            return draw.choice((b"null", b"[]", b'"x"', b"1", b"true", b"{}", b" ", b"", b"[{}]", b"\0"))
        case 6:
            return text.replace(",", ",,", 1).encode()
        case 7:
            return text.replace('"', "'").encode()
        case 8:
            return f'{{"\\ud800": "\\udc00\\ud800", {text[1:]}'.encode()
    return f'{{"{"k" * 20_000}": 1, {text[1:]}'.encode()


def _hurt_multipart(content: bytes, draw: random.Random) -> bytes:
    mark = f"--{BOUNDARY}".encode()
    head = b'\r\nContent-Disposition: form-data; name="prompt"'
    match draw.randrange(12):
        case 0:
            return content[: -len(mark) - 4]
        case 1:
            return content.replace(mark, b"--other", 1)
        case 2:
            return content.replace(b'name="', b"name=", 1)
        case 3:
            return content.replace(b"form-data", draw.choice((b"attachment", b"", b"form-data; " * 50)), 1)
        case 4:
            odd = draw.choice((b"X", b"Content-Disposition" * 500, b"\xff"))
            return content.replace(b"Content-Disposition", odd, 1)
        case 5:
            odd = draw.choice((b"../../x.png", b"\0", b"a" * 20_000, b'"', b"%00", "🦾".encode()))
            return content.replace(b'filename="', b'filename="' + odd, 1)
        case 6:
            return (mark + head + b"\r\n\r\nx\r\n") * draw.choice((65, 3000)) + content
        case 7:
            return (mark + head + b'; filename="f"\r\n\r\nx\r\n') * draw.choice((3, 65, 200)) + content
        case 8:
            return mark + b"--\r\n"
        case 9:
            return content.replace(b"\r\n", b"\n")
        case 10:
            return (
                mark
                + head.replace(b"prompt", draw.choice((b"a[b][c]", b"a[]", b"[]", b"a[" * 30, b"")))
                + (b"\r\n\r\nx\r\n" + content)
            )
    return content.replace(b"Content-Type: ", b"Content-Type: multipart/mixed; boundary=y\r\nX: ", 1)


def _hurt_urlencoded(content: bytes, draw: random.Random) -> bytes:
    extra = draw.choice(
        (
            b"%zz=1",
            b"a[b][c]=1&a[b]=2",
            b"a[][]=1",
            b"a[" * 30 + b"=1",
            b"=" * 100,
            b"&" * 1000,
            b"prompt=%ff%fe",
            b"prompt=a&prompt=b",
            b"%00=%00",
            b"x=1&" * 3000,
            "prompt=é".encode("latin-1"),
            b"extra_params=%7B%22a%22%3A",
        )
    )
    return extra + b"&" + content if draw.random() < 0.5 else content + b"&" + extra


def _hurt_msgpack(content: bytes, draw: random.Random) -> bytes:
    array = {"__ndarray__": True, "data": bytes(12), "dtype": draw.choice(("|O", "<f4", "|V9", "x")), "shape": [2, 2]}
    odd: Any = draw.choice(
        (
            array,
            {"__ndarray__": True, "data": b"", "dtype": "<f4", "shape": [2**40, 0]},
            {"__ndarray__": True, "data": b"", "dtype": "<f4", "shape": [0, 2**64 - 1]},
            {"__ndarray__": True, "data": b"", "dtype": "<f4", "shape": [-1]},
            {"nd": True, "type": "<f8", "shape": [1], "data": "x"},
            {"__npgeneric__": True, "data": b"", "dtype": "<f4"},
            msgpack.ExtType(5, b"x"),
            msgpack.Timestamp(2**33),
            b"\xff" * 20,
        )
    )
    match draw.randrange(5):
        case 0:
            return b"\xdd" + struct.pack(">I", 2**32 - 1)
        case 1:
            return b"\x91" * draw.choice((70, 5000))
        case 2:
            return b"\xdf" + struct.pack(">I", 2**31) + content
        case 3:
            return packed({"input": {"task": "x", "observation": {"images": {"front": 0}}}}).replace(b"\x00", b"\xc1")
    whole: bytes = msgpack.packb({"input": {"task": "x", "state": odd, "image": odd}, "parameters": {"action": odd}})
    return whole
