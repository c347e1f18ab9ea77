"""Reads a form: its texts are kept in memory, and files beyond a small buffer on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote_plus

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, QuerystringParser, parse_options_header

from deployments.ingress.errors import RETRY_AFTER, ApiError
from deployments.ingress.intake import Holding
from deployments.ingress.requests.bracket_notation import nested
from deployments.ingress.requests.memory_cost import TEXT_FACTOR, json_cost, urlencoded_cost
from deployments.logs import log
from deployments.wire.encoded_file import DiskFile, EncodedFile

MAX_TEXT_BYTES = 128 * 2**20
"""The limit of a form field that is not a file. Starlette's default, 1 MiB, is too small for most data URIs."""
MAX_FIELDS = 10_000
MAX_FILES = 64

MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
# A small file is kept as it is, and once more while it is copied or sent to where it is decoded.
_BUFFER_FACTOR = 2
# Texts below that are decoded on the event loop, because a thread would take longer.
_INLINE_BYTES = 64 * 2**10
# Few, because some of Python's codecs take a time that grows with the square of the text. ASCII needs no entry: what is
# in no encoding of these is read as Latin-1.
_CODECS = {"utf-8": "utf-8", "utf8": "utf-8", "windows-1252": "cp1252", "cp1252": "cp1252"}
T = TypeVar("T")


@dataclass(frozen=True)
class Upload:
    """A file part. The name comes from the client and is never used as a path."""

    name: str
    content: EncodedFile
    content_type: str | None = None


@dataclass(frozen=True)
class Form:
    """A form's fields and files, by the names that the client used."""

    fields: dict[str, Any]
    uploads: dict[str, list[Upload]]


async def read_multipart(pieces: AsyncIterator[bytes], content_type: str, holding: Holding) -> Form:
    """Read a multipart form.

    Args:
        pieces: the body.
        content_type: the header, which names the boundary.
        holding: what the request holds, which grows with what is kept.

    Raises:
        ApiError: 400, malformed or truncated, or too many or too large parts; 429, 413, 503, no room to keep it.
    """
    try:
        _, options = parse_options_header(content_type)
        if b"boundary" not in options:
            raise _malformed("Missing boundary in multipart.")
        parts = _Parts(holding, _codec(options.get(b"charset", b"utf-8")))
        parser = MultipartParser(options[b"boundary"], parts.callbacks())
        async for piece in pieces:
            parser.write(piece)
            await parts.decode()
            if parts.unwritten:
                await asyncio.to_thread(parts.write)
    except (FormParserError, ValueError):
        raise _malformed("Invalid multipart data.") from None
    except OSError as error:
        log.error("an upload cannot be kept on the disk: %s", error)
        message = "the server has no room on its disk for this file; try again later"
        raise ApiError(503, message, param="body", headers=RETRY_AFTER) from None
    if not parts.complete:
        raise _malformed("it ends before its last boundary")
    return Form(nested(parts.texts), parts.uploads)


async def read_urlencoded(pieces: AsyncIterator[bytes], holding: Holding) -> Form:
    """Read a urlencoded form; see `read_multipart`."""

    pairs = _Pairs()
    parser = QuerystringParser(pairs.callbacks())
    size = 0
    try:
        async for piece in pieces:
            holding.take(urlencoded_cost(piece))
            size += len(piece)
            parser.write(piece)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise _malformed(str(error)) from None
    return Form(nested(await _apart(size, pairs.decoded)), {})


async def _apart(size: int, function: Callable[[], T]) -> T:
    """Call a function that takes the longer the larger its text is without holding up the event loop."""
    return function() if size < _INLINE_BYTES else await asyncio.to_thread(function)


def _malformed(reason: str) -> ApiError:
    return ApiError(400, f"body is not a valid form: {reason}", param="body")


def _codec(charset: bytes) -> str:
    return _CODECS.get(charset.decode("latin-1").lower().replace("_", "-"), "latin-1")


class _Pairs:
    """The names and values of a urlencoded form, put together from what the parser finds."""

    def __init__(self) -> None:
        self._found: list[tuple[bytes, bytes]] = []
        self._name = bytearray()
        self._value = bytearray()

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_field_start": self._begin,
            "on_field_name": self._name_data,
            "on_field_data": self._value_data,
            "on_field_end": self._end,
        }

    def decoded(self) -> list[tuple[str, str]]:
        """All of them as text, in order; it may be called once, because what it reads is given up."""
        self._found.reverse()
        texts = []
        while self._found:
            name, value = self._found.pop()
            texts.append((unquote_plus(name.decode("latin-1")), unquote_plus(value.decode("latin-1"))))
        return texts

    def _begin(self) -> None:
        self._name, self._value = bytearray(), bytearray()

    def _name_data(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]
        self._check_size()

    def _value_data(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_size()

    def _check_size(self) -> None:
        if len(self._name) + len(self._value) > MAX_TEXT_BYTES:
            raise _malformed(f"Field exceeded maximum size of {MAX_TEXT_BYTES // 1024}KB.")

    def _end(self) -> None:
        if len(self._found) >= MAX_FIELDS:
            raise _malformed(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")
        self._found.append((bytes(self._name), bytes(self._value)))
        self._name, self._value = bytearray(), bytearray()


@dataclass
class _Part:
    """A part as it arrives.

    Attributes:
        headers: by their names in lower case.
        name, filename: of its `Content-Disposition`; only a file has a filename.
        kept: what has come of it and is kept in memory.
        file: where the rest of a file is kept, and then all of it.
    """

    headers: dict[bytes, bytes] = field(default_factory=dict)
    name: str = ""
    filename: str | None = None
    kept: bytearray = field(default_factory=bytearray)
    file: DiskFile | None = None


class _Parts:
    """The parts of a form, put together from what the parser finds.

    Attributes:
        texts: names and values of the fields that have been decoded, in order.
        uploads: the files by their names.
        unwritten: what is to be written to files on the disk.
        complete: whether the last boundary has been read.
    """

    def __init__(self, holding: Holding, charset: str) -> None:
        self.texts: list[tuple[str, str]] = []
        self.uploads: dict[str, list[Upload]] = {}
        self.unwritten: list[tuple[DiskFile, bytes]] = []
        self.complete = False
        self._holding = holding
        self._charset = charset
        self._part = _Part()
        self._header = b"", b""
        self._undecoded: list[tuple[str, bytearray]] = []
        self._fields = 0
        self._files = 0
        self._spilled = 0

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    async def decode(self) -> None:
        """Decode the fields that are complete.

        Raises:
            ApiError: 429, 413, no room to read them.
        """
        for name, kept in self._undecoded:
            # Before it is decoded.
            cost = await _apart(len(kept), partial(json_cost, kept))
            self._holding.take(cost - TEXT_FACTOR * len(kept))
            self.texts.append((name, await _apart(len(kept), partial(self._decoded, kept))))
        self._undecoded.clear()

    def write(self) -> None:
        """Write what is to be written; it blocks.

        Raises:
            OSError: the disk is full or broken.
        """
        for file, content in self.unwritten:
            file.write(content)
        self.unwritten.clear()

    def _begin(self) -> None:
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0] + data[start:end], self._header[1]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = self._header[0], self._header[1] + data[start:end]

    def _header_end(self) -> None:
        name, value = self._header
        self._part.headers[name.lower()] = value
        self._header = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition"))
        if b"name" not in options:
            raise _malformed('The Content-Disposition header field "name" must be provided.')
        self._part.name = self._decoded(options[b"name"])
        if b"filename" in options:
            self._part.filename = self._decoded(options[b"filename"])
            self._files += 1
            if self._files > MAX_FILES:
                raise _malformed(f"Too many files. Maximum number of files is {MAX_FILES}.")
            return
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise _malformed(f"Too many fields. Maximum number of fields is {MAX_FIELDS}.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, content = self._part, data[start:end]
        if part.filename is not None:
            self._file_data(part, content)
            return
        if len(part.kept) + len(content) > MAX_TEXT_BYTES:
            raise _malformed(f"Part exceeded maximum size of {MAX_TEXT_BYTES // 1024}KB.")
        self._holding.take(TEXT_FACTOR * len(content))
        part.kept += content

    def _file_data(self, part: _Part, content: bytes) -> None:
        if part.file is None and len(part.kept) + len(content) <= self._holding.settings.spill_bytes:
            self._holding.take(_BUFFER_FACTOR * len(content))
            part.kept += content
            return
        if part.file is None:
            part.file = self._holding.new_file()
            self._holding.give(_BUFFER_FACTOR * len(part.kept))
            content = bytes(part.kept) + content
            part.kept = bytearray()
        self._spilled += len(content)
        self._holding.reserve_disk(self._spilled)
        self.unwritten.append((part.file, content))

    def _end(self) -> None:
        part = self._part
        if part.filename is None:
            self._undecoded.append((part.name, part.kept))
            return
        content = bytes(part.kept) if part.file is None else part.file
        # A browser sends an empty part for a file input without a file.
        if part.filename or content:
            kind = part.headers.get(b"content-type")
            upload = Upload(part.filename, content, None if kind is None else kind.decode("latin-1"))
            self.uploads.setdefault(part.name.removesuffix("[]"), []).append(upload)

    def _all(self) -> None:
        self.complete = True

    def _decoded(self, content: bytes | bytearray) -> str:
        try:
            return content.decode(self._charset)
        except (UnicodeDecodeError, LookupError):
            return content.decode("latin-1")
