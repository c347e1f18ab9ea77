"""Files on the disk on their way to a decoding process, which cannot open them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from cosmos3_core.controls import Control, ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import read_inputs
from cosmos3_core.media.checks import MediaError
from cosmos3_core.modes import Mode
from cosmos3_core.request import GenerationRequest
from deployments.decoding.calls import MOST_FILES, PackedCall, receive_call
from deployments.decoding.decoder import MediaDecoder
from deployments.settings.decoding import DecodingSettings
from deployments.wire.encoded_file import DiskFile
from tests.core.media.samples import SMALL
from tests.media_decoder import media_decoder

Ends = tuple[tuple[socket.socket, Connection], tuple[socket.socket, Connection]]


@pytest.fixture
def ends() -> Iterator[Ends]:
    one, other = socket.socketpair()
    connections = [Connection(end.dup().detach()) for end in (one, other)]
    yield (one, connections[0]), (other, connections[1])
    for connection in connections:
        connection.close()
    one.close()
    other.close()


def on_disk(content: bytes) -> DiskFile:
    file = DiskFile()
    file.write(content)
    return file


def send(ends: Ends, call: Any) -> None:
    with PackedCall(call) as packed:
        packed.send(*ends[0])


def open_files() -> int:
    return psutil.Process().num_fds()


def test_files_arrive_as_bytes_wherever_they_are(ends: Ends) -> None:
    first, second = on_disk(b"first" * 100_000), on_disk(b"")
    before = open_files()
    call = (1, "check", ({"a": first, "b": [second, first]}, b"bytes"))
    # More than the socket's buffer holds.
    sending = threading.Thread(target=send, args=(ends, call))
    sending.start()
    content = b"first" * 100_000
    assert receive_call(*ends[1]) == (1, "check", ({"a": content, "b": [b"", content]}, b"bytes"))
    sending.join(5)
    send(ends, (2, "check", ()))
    assert receive_call(*ends[1]) == (2, "check", ())
    assert open_files() == before
    first.close()
    second.close()


def test_what_cannot_be_sent_is_not_begun() -> None:
    gone = on_disk(b"gone")
    gone.close()
    before = open_files()
    many = [on_disk(b"x") for _ in range(MOST_FILES + 1)]
    for files, says in (([gone], "closed"), (many, "more than")):
        with pytest.raises(ValueError, match=says):
            PackedCall((1, "check", (files,)))
    for file in many:
        file.close()
    assert open_files() == before


@pytest.fixture
def decoder() -> MediaDecoder:
    return media_decoder()


def test_a_request_is_decoded_from_the_disk_as_from_memory(decoder: MediaDecoder) -> None:
    requests: tuple[dict[str, Any], ...] = (
        {"mode": Mode.IMAGE_TO_VIDEO, "image": SMALL["png"]},
        {"mode": Mode.VIDEO_TO_VIDEO, "video": SMALL["mp4"]},
    )
    for fields in requests:
        files = {name: on_disk(value) for name, value in fields.items() if isinstance(value, bytes)}
        given = fields | files
        found = decoder.inputs(GenerationRequest(prompt="x", **given))
        expected = read_inputs(GenerationRequest(prompt="x", **fields))
        assert found.frames is not None and expected.frames is not None
        assert np.array_equal(found.frames, expected.frames) and found.fps == expected.fps
        for file in given.values():
            if isinstance(file, DiskFile):
                file.close()


def test_several_files_of_a_request(decoder: MediaDecoder) -> None:
    files = [on_disk(SMALL["mp4"]), on_disk(SMALL["mp4"])]
    controls = (Control(kind=ControlKind.SEG, video=files[0]), Control(kind=ControlKind.DEPTH, video=files[1]))
    found = decoder.check(GenerationRequest(mode=Mode.TRANSFER, prompt="x", controls=controls))
    assert set(found.controls) == {ControlKind.SEG, ControlKind.DEPTH}
    for file in files:
        file.close()


def test_a_damaged_file_on_the_disk_is_refused(decoder: MediaDecoder) -> None:
    file = on_disk(SMALL["png"][:60])
    with pytest.raises(RequestError, match="cannot be read"):
        decoder.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=file))
    file.close()


def test_a_file_of_a_request_that_is_over_costs_no_process(decoder: MediaDecoder) -> None:
    gone = on_disk(SMALL["png"])
    gone.close()
    request = GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=gone)
    decoder.check(request.model_copy(update={"image": SMALL["png"]}))
    processes = set(psutil.Process().children())
    with pytest.raises(RequestError):
        decoder.check(request)
    decoder.check(request.model_copy(update={"image": SMALL["png"]}))
    assert set(psutil.Process().children()) == processes


def test_a_file_larger_than_a_process_may_hold_is_refused(tmp_path: Path) -> None:
    small = MediaDecoder(DecodingSettings(processes=1, memory_bytes=256 * 2**20))
    file = DiskFile(tmp_path)
    for _ in range(300):
        file.write(bytes(2**20))
    try:
        with pytest.raises(RequestError):
            small.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=file))
        assert (
            small.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=SMALL["png"])).frames is not None
        )
    finally:
        small.close()
        file.close()


def test_a_sent_file_passes_through_no_memory_of_the_sender(decoder: MediaDecoder, tmp_path: Path) -> None:
    file = DiskFile(tmp_path)
    for _ in range(200):
        file.write(bytes(2**20))
    decoder.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=SMALL["png"]))
    peak_of_process = psutil.Process().memory_info().rss
    with pytest.raises((RequestError, MediaError)):
        decoder.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=file))
    assert psutil.Process().memory_info().rss - peak_of_process < 50 * 2**20
    file.close()
