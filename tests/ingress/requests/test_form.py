"""Forms: what of them is kept in memory, what on the disk, and what is counted for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.ingress.errors import ApiError
from deployments.ingress.intake import Holding, Intake
from deployments.ingress.requests.form import Form, read_multipart, read_urlencoded
from deployments.settings.intake import IntakeSettings
from deployments.wire.encoded_file import DiskFile
from tests.ingress.requests.forms import URL

SETTINGS = IntakeSettings(request_bytes=10_000, spill_bytes=1000, replica_bytes=100_000, disk_bytes=40_000)


def read(request: httpx.Request, holding: Holding, chunk: int = 300) -> Form:
    content = request.read()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), chunk):
            yield content[start : start + chunk]

    return asyncio.run(read_multipart(pieces(), request.headers["content-type"], holding))


def files(*contents: bytes) -> httpx.Request:
    return httpx.Request("POST", URL, files=[("file", (f"{number}.png", it)) for number, it in enumerate(contents)])


def refused(request: httpx.Request, holding: Holding) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(request, holding)
    return caught.value


@pytest.mark.parametrize("chunk", [7, 300, 100_000])
def test_a_file_beyond_the_buffer_is_on_the_disk(chunk: int) -> None:
    intake = Intake(SETTINGS)
    holding = intake.holding()
    small, large = read(files(b"a" * 1000, b"b" * 1001), holding, chunk).uploads["file"]
    assert small.content == b"a" * 1000
    assert isinstance(large.content, DiskFile)
    assert b"".join(large.content.chunks()) == b"b" * 1001
    assert (intake.memory.held, intake.disk.held) == (2000, 1001)
    holding.release()
    assert (intake.memory.held, intake.disk.held) == (0, 0)
    with pytest.raises(ValueError, match="closed"):
        large.content.read(1)


def test_without_a_buffer_all_files_are_on_the_disk() -> None:
    holding = Intake(SETTINGS.model_copy(update={"spill_bytes": 0})).holding()
    (upload,) = read(files(b"a"), holding).uploads["file"]
    assert isinstance(upload.content, DiskFile) and upload.content.read(5) == b"a"
    holding.release()


def test_texts_count_with_what_reading_them_takes() -> None:
    intake = Intake(SETTINGS)
    request = httpx.Request("POST", URL, files=[("a", (None, b"x" * 1000)), ("b", (None, b"[],[]"))])
    assert read(request, intake.holding()).fields == {"a": "x" * 1000, "b": "[],[]"}
    assert 7000 < intake.memory.held < 8000


@pytest.mark.parametrize("places", ["memory", "disk"])
def test_a_form_that_does_not_fit_is_not_read_to_its_end(places: str) -> None:
    intake = Intake(SETTINGS)
    other = intake.holding("other")
    if places == "memory":
        other.take(50_000)
        intake.holding("another").take(49_000)
        request = httpx.Request("POST", URL, files=[("a", (None, b"x" * 5000))])
    else:
        other.reserve_disk(20_000)
        intake.holding("another").reserve_disk(18_000)
        request = files(b"x" * 9000)
    holding = intake.holding("client")
    error = refused(request, holding)
    assert (error.status, "Retry-After" in error.headers) == (429, True)
    holding.release()
    other.release()
    assert {"memory": intake.memory, "disk": intake.disk}[places].held in (49_000, 18_000)
    read(request, again := intake.holding("client"))
    again.release()


def test_a_text_that_is_too_large_to_be_read_at_all() -> None:
    request = httpx.Request("POST", URL, files=[("a", (None, b"x" * 9000))])
    holding = Intake(SETTINGS.model_copy(update={"replica_bytes": 100_000, "share": 0.5})).holding()
    assert refused(request, holding).status == 413


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    holding = Intake(SETTINGS.model_copy(update={"folder": tmp_path / "missing"})).holding()
    error = refused(files(b"x" * 2000), holding)
    assert (error.status, "Retry-After" in error.headers, str(tmp_path) in error.message) == (503, True, False)


def test_a_urlencoded_form_is_counted() -> None:
    intake = Intake(SETTINGS)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a=1&b="
        yield b"x" * 100

    found = asyncio.run(read_urlencoded(pieces(), intake.holding()))
    assert found.fields == {"a": "1", "b": "x" * 100}
    assert 1500 < intake.memory.held < 3000


def test_a_part_may_not_have_endless_headers() -> None:
    content = b'--x\r\nContent-Disposition: form-data; name="a"\r\nX: ' + b"x" * 9000 + b"\r\n\r\n1\r\n--x--\r\n"
    request = httpx.Request("POST", URL, content=content, headers={"content-type": "multipart/form-data; boundary=x"})
    assert refused(request, Intake(SETTINGS).holding()).status == 400


@pytest.mark.parametrize(
    ("charset", "sent", "text"),
    [
        ("utf-8", "é€".encode(), "é€"),
        ("UTF_8", "é€".encode(), "é€"),
        ("us-ascii", b"plain", "plain"),
        ("iso-8859-1", b"\xe9", "é"),
        ("Windows-1252", b"\x80", "€"),
        # Slow, or more than a text: they are not obeyed.
        ("punycode", b"egbpdaj6bu4bxfgehfvwxn", "egbpdaj6bu4bxfgehfvwxn"),
        ("idna", b"xn--bcher-kva", "xn--bcher-kva"),
        ("utf-7", b"+AGE-", "+AGE-"),
        ("undefined", b"\xe9", "é"),
        ("nonsense", b"\xe9", "é"),
    ],
)
def test_only_usual_charsets_are_obeyed(charset: str, sent: bytes, text: str) -> None:
    content = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + sent + b"\r\n--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    request = httpx.Request("POST", URL, content=content, headers={"content-type": kind})
    assert read(request, Intake(SETTINGS).holding()).fields == {"a": text}


async def longest_pause(reading: Coroutine[Any, Any, Form]) -> tuple[Form, float]:
    """A form, and for how many seconds the event loop did nothing else while it was read."""
    task, longest, before = asyncio.create_task(reading), 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0)
        now = time.monotonic()
        longest, before = max(longest, now - before), now
    return task.result(), longest


def test_a_large_form_does_not_hold_up_the_event_loop() -> None:
    intake = Intake(IntakeSettings(replica_bytes=8 * 2**30, share=1.0))
    piece = b"%41" * 20_000

    async def pieces() -> AsyncIterator[bytes]:
        yield b"a="
        for _ in range(100):
            yield piece
            await asyncio.sleep(0)

    started = time.monotonic()
    form, pause = asyncio.run(longest_pause(read_urlencoded(pieces(), intake.holding())))
    assert form.fields == {"a": "A" * 2_000_000}
    # Python's threads take turns.
    assert pause < (time.monotonic() - started) / 2


def test_the_fields_of_a_form_are_bounded() -> None:
    many = b"a=1&" * 10_001
    holding = Intake(IntakeSettings()).holding()

    async def pieces() -> AsyncIterator[bytes]:
        yield many

    with pytest.raises(ApiError, match="Too many fields") as caught:
        asyncio.run(read_urlencoded(pieces(), holding))
    assert caught.value.status == 400
