"""Reads a request's body: JSON, multipart or urlencoded, within explicit limits, into plain fields and uploads.

It knows nothing of what the fields mean. Its refusals name the field or the position and never repeat the content.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NoReturn

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.types import Message

from deployments.ingress.errors import ApiError

MAX_BODY_BYTES = 512 * 2**20
MAX_PART_BYTES = 128 * 2**20
"""Of a form field that is no file. Starlette's own default of 1 MiB is less than most data URIs."""
MAX_FIELDS = 10_000
MAX_FILES = 64
MAX_NESTING = 8
# What travels between processes is pickled, which recurses.
MAX_JSON_DEPTH = 64

JSON = "application/json"
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_INLINE_BYTES = 64 * 2**10
_BRACKETED = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_INTEGER_DIGITS = 4000
# The last boundary, of at most 70 characters, and what may follow it.
_TAIL_BYTES = 2**16


@dataclass(frozen=True)
class Upload:
    """A file part. The name is the client's word and is never used as a path."""

    name: str
    content: bytes
    content_type: str | None = None


@dataclass(frozen=True)
class Body:
    """A request's fields and files, by the names the client used."""

    fields: dict[str, Any]
    uploads: dict[str, list[Upload]] = field(default_factory=dict)


class JsonError(ValueError):
    """Text that is not the JSON we accept; the message holds a position and nothing of the text."""


async def read_json(request: Request) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        ApiError: another media type, not JSON, not an object (400), or too large (413).
    """
    if media_type(request) != JSON:
        raise ApiError(400, "Unsupported Media Type: Only 'application/json' is allowed")
    return await read_object(request, parse_json, "JSON", MAX_BODY_BYTES)


async def read_object(request: Request, parse: Callable[[bytes], Any], called: str, limit: int) -> dict[str, Any]:
    """The object that a request's body is, in a notation of which `parse` raises ValueError for what it is not.

    Raises:
        ApiError: malformed, not an object (400), or more bytes than the limit (413).
    """
    async with aclosing(_capped(request, limit)) as chunks:
        content = b"".join([chunk async for chunk in chunks])
    try:
        parsed = parse(content) if len(content) < _INLINE_BYTES else await asyncio.to_thread(parse, content)
    except ValueError as error:
        raise ApiError(400, f"body is not valid {called}: {error}", param="body") from None
    if not isinstance(parsed, dict):
        raise ApiError(400, f"body is {json_type(parsed)}; expected an object", param="body")
    return parsed


async def read_body(request: Request) -> Body:
    """The body of a request in any of the media types that video clients use.

    In forms an empty value counts as absent, a repeated name or `name[]` makes a list, and `name[key]` an object.

    Raises:
        ApiError: another media type, malformed (400), or too large (413).
    """
    kind = media_type(request)
    if kind == JSON:
        return Body(await read_json(request))
    if kind not in FORMS:
        expected = ", ".join((JSON, *FORMS))
        raise ApiError(400, f"Unsupported Media Type: expected one of {expected}")
    limits = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": MAX_PART_BYTES}
    end = _End(request)
    try:
        async with (
            aclosing(end.watched(_capped(request, MAX_BODY_BYTES))) as chunks,
            _replayed(request, chunks).form(**limits) as form,
        ):
            end.check()
            return await _form_body(form)
    except HTTPException as error:
        raise ApiError(400, f"body is not a valid form: {error.detail}", param="body") from None
    except MultiPartException as error:
        raise ApiError(400, f"body is not a valid form: {error.message}", param="body") from None
    except (FormParserError, ValueError):
        raise ApiError(400, "body is not a valid form", param="body") from None


class _End:
    """Whether a multipart body has its end; Starlette's parser takes one that was cut off for what is there of it."""

    def __init__(self, request: Request) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        multipart = media_type(request) == FORMS[0]
        boundary = options.get(b"boundary") if multipart else None
        self._delimiter = None if boundary is None else b"--" + boundary + b"--"
        self._tail = b""

    async def watched(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The same chunks."""
        async with aclosing(chunks):
            async for chunk in chunks:
                self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
                yield chunk

    def check(self) -> None:
        """Once all of it has been read.

        Raises:
            ApiError: 400, it was cut off.
        """
        if self._delimiter is not None and self._delimiter not in self._tail:
            raise ApiError(400, "body is not a valid form: it ends before its last boundary", param="body")


def parse_json(text: bytes | str) -> Any:
    """JSON as RFC 8259 has it: no NaN or Infinity, no name twice in one object.

    Raises:
        JsonError: it is not.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno} (position {error.pos})"
        raise JsonError(f"{error.msg.partition(': ')[0]} at {place}") from None
    except UnicodeDecodeError as error:
        raise JsonError(f"not {error.encoding} text at position {error.start}") from None
    except RecursionError:
        raise JsonError("nested too deeply") from None
    if deeper_than(value, MAX_JSON_DEPTH):
        raise JsonError("nested too deeply")
    return value


def deeper_than(value: Any, depth: int) -> bool:
    """Whether lists and objects lie in each other more than `depth` times, found without recursion."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def json_type(value: Any) -> str:
    """What a value is, in JSON's words and with its article."""
    names = {dict: "an object", list: "a list", str: "text", bool: "a boolean", type(None): "null", Upload: "a file"}
    return (names | {bytes: "bytes"}).get(type(value), "a number")


def _no_constant(name: str) -> NoReturn:
    raise JsonError(f"{name} is not allowed")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonError("a number is too large")
    return number


def _integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise JsonError("a number is too long")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise JsonError("an object names a field twice")
    return unique


def media_type(request: Request) -> str:
    """What a request says its body is, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _capped(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    too_large = ApiError(413, f"body is too large; expected at most {limit} bytes", param="body")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
        raise too_large
    received = 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            if received > limit:
                raise too_large
            yield chunk


def _replayed(request: Request, chunks: AsyncGenerator[bytes, None]) -> Request:
    """The request with these chunks for its body, so that Starlette's form parser reads no more than they are."""

    async def receive() -> Message:
        chunk = await anext(chunks, None)
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    return Request(request.scope, receive)


async def _form_body(form: FormData) -> Body:
    texts: list[tuple[str, str]] = []
    uploads: dict[str, list[Upload]] = {}
    for name, part in form.multi_items():
        if not isinstance(part, UploadFile):
            texts.append((name, part))
            continue
        content = await part.read()
        # What a browser sends for a file input that nothing was chosen for.
        if part.filename or content:
            upload = Upload(part.filename or "", content, part.content_type)
            uploads.setdefault(name.removesuffix("[]"), []).append(upload)
    return Body(_nested(texts), uploads)


def _nested(texts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, text in texts:
        if text == "":
            continue
        bracketed = _BRACKETED.fullmatch(name)
        if bracketed is None:
            _append(fields, name, text)
            continue
        keys = [bracketed[1], *bracketed[2][1:-1].split("][")] if bracketed[2] else [name]
        if len(keys) > MAX_NESTING:
            raise ApiError(400, f"{keys[0]} is nested too deeply for a form; send it as JSON text", param=keys[0])
        if not _put(fields, keys, text):
            reason = "cannot be read from its bracketed form fields; send it as JSON text"
            raise ApiError(400, f"{keys[0]} {reason}", param=keys[0])
    return fields


def _put(holder: dict[str, Any], keys: list[str], text: str) -> bool:
    """Put a text where the keys lead; False where they contradict what is there, or leave the place open."""
    key, *rest = keys
    if not rest:
        return _append(holder, key, text)
    if rest == [""]:
        return _append(holder, key, text, always_list=True)
    if rest[0] != "":
        child = holder.setdefault(key, {})
        return isinstance(child, dict) and _put(child, rest, text)
    # `a[][b]` goes on filling the last object of the list, until a name comes again. Lists of lists, `a[][]`,
    # have lost their row breaks.
    entries = holder.setdefault(key, [])
    if rest[1] == "" or not isinstance(entries, list) or not (entries == [] or isinstance(entries[0], dict)):
        return False
    if not entries or rest[1] in entries[-1]:
        entries.append({})
    return _put(entries[-1], rest[1:], text)


def _append(holder: dict[str, Any], key: str, text: str, always_list: bool = False) -> bool:
    if key not in holder:
        holder[key] = [text] if always_list else text
    elif isinstance(holder[key], dict) or (isinstance(holder[key], list) and isinstance(holder[key][0], dict)):
        return False
    elif isinstance(holder[key], list):
        holder[key].append(text)
    else:
        holder[key] = [holder[key], text]
    return True
