"""Files decoded in confined processes: the same pixels, the same refusals, and bounds on what a file may cost."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from cosmos3_core.controls import Control, ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas
from cosmos3_core.inputs import read_inputs
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.frame_sampling import FrameSampling
from cosmos3_core.media.signature import media_kind
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import encode_image
from cosmos3_core.media.visual import read_still, read_video
from cosmos3_core.modes import Mode
from cosmos3_core.request import GenerationRequest
from cosmos3_core.upsampling.picture import picture_for_chat
from deployments.decoding.decoder import MediaDecoder
from deployments.decoding.worker import ENVIRONMENT, TOO_MUCH
from deployments.settings.decoding import DecodingSettings
from deployments.wire.visual_input import VisualInput, VisualKind, VisualReading
from tests.core.media.samples import SMALL, mp4, tone
from tests.hostile_files import (
    NAMES_OTHERS,
    RESOURCE_FILES,
    claimed_samples,
    clip,
    damaged_files,
    external_reference,
    fragment_of_many_samples,
)
from tests.media_decoder import media_decoder

SEED = int(os.environ.get("COSMOS3_TEST_SEED") or 20261128)
READING = VisualReading()


@pytest.fixture(scope="module")
def decoder() -> MediaDecoder:
    return media_decoder()


@pytest.fixture
def short_lived() -> Iterator[MediaDecoder]:
    """One process that may use little."""
    decoder = MediaDecoder(DecodingSettings(processes=1, memory_bytes=256 * 2**20, seconds=0.5))
    yield decoder
    decoder.close()


def visual(file: bytes, kind: VisualKind | None = None) -> VisualInput:
    return VisualInput.of(kind or VisualKind(media_kind(file)), (file,), READING)


def still(decoder: MediaDecoder, file: bytes) -> NDArray[np.uint8]:
    frames = decoder.visual(visual(file)).frames
    return frames.reshape(frames.shape[1:])


# What they return


@pytest.mark.parametrize("name", SMALL)
def test_pixels_are_the_readers_own(name: str, decoder: MediaDecoder) -> None:
    found = decoder.visual(visual(SMALL[name]))
    if name == "mp4":
        expected = read_video(SMALL[name], READING.sampling)
        assert (found.indices, found.fps, found.total) == (expected.indices, expected.fps, expected.total)
        assert np.array_equal(found.frames, expected.frames)
    else:
        assert np.array_equal(found.frames, read_still(SMALL[name])[None])


def test_frames_that_were_chosen(decoder: MediaDecoder) -> None:
    files = (SMALL["png"], SMALL["png"])
    found = decoder.visual(VisualInput.of(VisualKind.FRAMES, files, READING))
    assert (len(found.frames), found.indices, found.fps) == (2, [0, 1], 1.0)


def test_sound_and_pictures_for_chats(decoder: MediaDecoder) -> None:
    assert np.array_equal(decoder.sound(SMALL["mp4"], 48_000), decode_audio(SMALL["mp4"]))
    canvas = Canvas(32, 32)
    assert np.array_equal(decoder.picture(SMALL["png"], canvas), picture_for_chat(SMALL["png"], canvas))


REQUESTS = {
    "nothing": GenerationRequest(mode=Mode.TEXT_TO_VIDEO, prompt="x"),
    "an image": GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=SMALL["jpeg"]),
    "a video": GenerationRequest(mode=Mode.VIDEO_TO_VIDEO, prompt="x", video=SMALL["mp4"]),
    "a sound": GenerationRequest(mode=Mode.TEXT_TO_VIDEO, prompt="x", sound=SMALL["mp4"]),
    "controls": GenerationRequest(
        mode=Mode.TRANSFER,
        prompt="x",
        controls=(
            Control(kind=ControlKind.DEPTH, video=SMALL["mp4"]),
            Control(kind=ControlKind.SEG, video=SMALL["png"]),
        ),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_inputs_are_the_cores_own_and_a_check_has_their_shapes(name: str, decoder: MediaDecoder) -> None:
    expected, found, checked = (
        read_inputs(REQUESTS[name]),
        decoder.inputs(REQUESTS[name]),
        decoder.check(REQUESTS[name]),
    )
    assert (found.fps, found.size) == (expected.fps, expected.size) == (checked.fps, checked.size)
    assert list(found.controls) == list(expected.controls) == list(checked.controls)
    for medium in REQUESTS[name].media():
        assert np.array_equal(found.array(medium), expected.array(medium))
        assert checked.array(medium).shape == expected.array(medium).shape
        assert checked.array(medium).base is not None


def test_a_refusal_names_its_field(decoder: MediaDecoder) -> None:
    with pytest.raises(RequestError) as caught:
        decoder.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=SMALL["png"][:90]))
    assert caught.value.field == "image" and "cannot be read" in caught.value.reason
    broken = Control(kind=ControlKind.SEG, video=SMALL["mp4"][:900])
    with pytest.raises(RequestError) as caught:
        decoder.check(GenerationRequest(mode=Mode.TRANSFER, prompt="x", controls=(broken,)))
    assert caught.value.field == "control_seg"


def test_a_process_that_dies_of_a_request_names_a_field(short_lived: MediaDecoder) -> None:
    slow = RESOURCE_FILES["a JPEG of many scans"]()
    with pytest.raises(RequestError) as caught:
        short_lived.check(GenerationRequest(mode=Mode.IMAGE_TO_VIDEO, prompt="x", image=slow))
    assert caught.value.field == "image" and "too long" in caught.value.reason


# What a file may cost


def test_a_process_that_dies_is_replaced(short_lived: MediaDecoder) -> None:
    before = set(psutil.Process().children())
    still(short_lived, SMALL["png"])
    (child,) = set(psutil.Process().children()) - before
    child.send_signal(signal.SIGKILL)
    child.wait(5)
    assert np.array_equal(still(short_lived, SMALL["png"]), read_still(SMALL["png"]))


def test_a_file_that_takes_too_long(short_lived: MediaDecoder) -> None:
    begun = time.monotonic()
    with pytest.raises(MediaError, match="too long to decode"):
        short_lived.visual(visual(RESOURCE_FILES["a JPEG of many scans"]()))
    assert time.monotonic() - begun < 10
    assert still(short_lived, SMALL["png"]) is not None


@pytest.mark.parametrize("make", [fragment_of_many_samples, claimed_samples])
def test_a_small_file_that_claims_millions_of_samples(make: Callable[[], bytes], short_lived: MediaDecoder) -> None:
    with pytest.raises(MediaError):
        short_lived.visual(visual(make()))
    assert still(short_lived, SMALL["png"]) is not None


def test_a_clip_larger_than_memory_allows(short_lived: MediaDecoder) -> None:
    every = VisualReading(FrameSampling(num_frames=120))
    file = clip("mpeg4", side=1024, frames=120)
    with pytest.raises(MediaError, match="memory"):
        short_lived.visual(VisualInput.of(VisualKind.VIDEO, (file,), every))


def test_time_is_granted_for_what_a_file_holds() -> None:
    """Many frames take longer than a file is granted before it shows any."""
    decoder = MediaDecoder(DecodingSettings(processes=1, seconds=0.2))
    long = mp4(240, height=256)
    try:
        assert len(decoder.visual(visual(long)).indices) == 20
    finally:
        decoder.close()


def test_much_sound_and_many_small_frames_are_granted_their_time() -> None:
    decoder = MediaDecoder(DecodingSettings(processes=1, seconds=0.1))
    try:
        assert decoder.sound(mp4(2, sound=tone(120.0)), 48_000).shape[1] > 5_000_000
        assert len(decoder.visual(visual(clip("mpeg4", side=16, frames=3000))).indices) == 500
    finally:
        decoder.close()


def test_a_process_serves_few_calls(decoder: MediaDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.decoding.worker.MOST_CALLS", 2)
    own = MediaDecoder(DecodingSettings(processes=1))
    seen: set[psutil.Process] = set()
    before = set(psutil.Process().children())
    try:
        for _ in range(3):
            still(own, SMALL["png"])
            seen |= set(psutil.Process().children()) - before
    finally:
        own.close()
    assert len(seen) == 2


def test_a_process_with_an_answer_that_nobody_read_is_not_asked_again() -> None:
    """Or the next caller would get what the last one asked for."""
    decoder = MediaDecoder(DecodingSettings(processes=1))
    seven, eight = (encode_image(np.full((8, 8, 3), value, np.uint8), "png") for value in (7, 8))

    def fails() -> bool:
        raise KeyboardInterrupt

    try:
        with pytest.raises(KeyboardInterrupt):
            decoder.visual(visual(RESOURCE_FILES["a JPEG of many scans"]()), wanted=fails)
        assert (still(decoder, seven) == 7).all() and (still(decoder, eight) == 8).all()
    finally:
        decoder.close()


def test_what_nobody_wants_any_more_is_left(decoder: MediaDecoder) -> None:
    # Not for its time, which it would use up as well.
    with pytest.raises(MediaError, match=TOO_MUCH):
        decoder.visual(visual(RESOURCE_FILES["a JPEG of many scans"]()), wanted=lambda: False)


def test_files_are_decoded_beside_each_other(decoder: MediaDecoder) -> None:
    slow_file = visual(RESOURCE_FILES["a JPEG of many scans"]())

    def refused() -> None:
        with pytest.raises(MediaError):
            decoder.visual(slow_file)

    with ThreadPoolExecutor(2) as pool:
        # So that both processes run.
        assert len(set(pool.map(lambda _: decoder.sound(SMALL["mp4"], 48_000).shape, range(8)))) == 1
        slow = pool.submit(refused)
        still(decoder, SMALL["png"])
        assert not slow.done()
        slow.result()


# What a file may reach


def test_nothing_is_read_or_fetched(decoder: MediaDecoder, tmp_path: Path) -> None:
    """Each format that can name another file or host, and a listener that nobody comes to."""
    canary = tmp_path / "canary.png"
    canary.write_bytes(SMALL["png"])
    os.utime(canary, (1, canary.stat().st_mtime))
    canary.read_bytes()
    assert canary.stat().st_atime > 1, "this file system does not tell when a file is read"
    os.utime(canary, (1, canary.stat().st_mtime))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        places = [f"http://127.0.0.1:{listener.getsockname()[1]}/x.mp4", f"file://{canary}", str(canary)]
        files = [name.replace("{url}", place).encode() for name in NAMES_OTHERS for place in places]
        for file in files:
            for kind in (VisualKind.IMAGE, VisualKind.VIDEO):
                with pytest.raises(MediaError):
                    decoder.visual(visual(file, kind))
        for place in places:
            # FFmpeg may ignore the reference and find its samples in the file itself.
            with suppress(MediaError):
                decoder.visual(visual(external_reference(place)))
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert canary.stat().st_atime == 1


def test_it_holds_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSMOS3_SECRET", "secret")
    before = set(psutil.Process().children())
    decoder = MediaDecoder(DecodingSettings(processes=1))
    try:
        decoder.sound(SMALL["mp4"], 48_000)
        (child,) = set(psutil.Process().children()) - before
        assert child.environ().keys() <= {*ENVIRONMENT, "PYTHONPATH", "LC_CTYPE"}
    finally:
        decoder.close()


def test_damaged_files_are_decoded_or_refused(decoder: MediaDecoder) -> None:
    for name, file in damaged_files(SEED, 200):
        try:
            decoder.visual(visual(file, VisualKind.VIDEO if number_of(name) % 2 else None))
        except MediaError as error:
            assert "0x" not in str(error), (name, error)


def number_of(name: str) -> int:
    return int(name.rpartition("/")[2])
