"""Encoded MP4 files: the same bytes for the same input, whole or not at all, and decoded to what went in."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import weakref
import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.sound import decode_audio
from tests.core.media.samples import CARD, Colour, Pixels, distance, flat, mp4, picture, refuses, tone


@pytest.mark.parametrize("fps", [10, 16, 24, 29.97, 30_000 / 1001, 30, 0.5])
@pytest.mark.parametrize("count", [1, 2, 31])
def test_video_round_trip(fps: float, count: int) -> None:
    clip = decode_video(mp4(count, fps))
    assert clip.fps == pytest.approx(fps, abs=1e-9)
    assert clip.frames.shape == (count, 48, 64, 3)
    expected = np.stack([picture(index) for index in range(count)])
    assert np.abs(clip.frames.astype(int) - expected).mean((1, 2, 3)).max() < 6


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(1, 12), st.fractions(Fraction(1, 2), 240, max_denominator=1001), st.integers(1, 30))
def test_any_count_rate_and_size(count: int, fps: Fraction, half: int) -> None:
    clip = decode_video(mp4(count, float(fps), height=2 * half))
    assert clip.frames.shape == (count, 2 * half, 64, 3)
    assert clip.fps == pytest.approx(float(fps), abs=1e-9)


@pytest.mark.parametrize("size", [(64, 64), (720, 1280)])
@pytest.mark.parametrize("colour", CARD)
def test_own_files_keep_colours(colour: Colour, size: tuple[int, int]) -> None:
    content = io.BytesIO()
    encode_mp4(content, [flat(colour, *size)] * 2, 24)
    assert distance(decode_video(content.getvalue()).frames, colour) <= 4
    content.seek(0)
    with av.open(content, "r") as container:
        stream = container.streams.video[0]
        tags = (stream.colorspace, stream.color_primaries, stream.color_trc, stream.color_range)
        assert (*tags, stream.pix_fmt, stream.codec_context.name) == (1, 1, 1, 1, "yuv420p", "h264")
        luma = next(container.decode(stream)).to_ndarray()[0, 0]
    # The matrix must be what the tags say, not merely what decode_video undoes.
    assert luma == pytest.approx(16 + 219 / 255 * np.dot(colour, (0.2126, 0.7152, 0.0722)), abs=2)


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (48_000, 2), (44_100, 2), (16_000, 1)])
def test_sound_round_trip(rate: int, channels: int) -> None:
    sound = tone(1.3, rate, channels)
    content = mp4(24, sound=sound, sampling_rate=rate)
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels, stream.codec_context.name) == (rate, 2, "aac")
        assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(1.3, abs=0.05)
    decoded = decode_audio(content, rate)
    assert decoded.dtype == np.float32 and decoded.shape[0] == 2 and np.abs(decoded).max() <= 1
    assert 0 <= decoded.shape[1] - sound.shape[1] < 1100
    assert ((decoded[:, : sound.shape[1]] - sound) ** 2).mean() < (sound**2).mean() / 100


def test_bytes_are_the_same_in_another_process_on_one_core() -> None:
    # Tall enough for x264 to use several threads.
    content = mp4(9, sound=tone(0.3), height=480)
    assert content == mp4(9, sound=tone(0.3), height=480)
    script = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "import zlib; from tests.core.media.samples import mp4, tone\n"
        "print(zlib.crc32(mp4(9, sound=tone(0.3), height=480)))"
    )
    output = subprocess.check_output([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    assert int(output) == zlib.crc32(content)


def test_index_comes_first_and_tracks_alternate() -> None:
    content = mp4(300, 10, tone(30))
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    reached = {"video": 0.0, "audio": 0.0}
    with av.open(io.BytesIO(content), "r") as container:
        packets = [packet for packet in container.demux() if packet.size]
        for packet in sorted(packets, key=lambda packet: packet.pos or 0):
            reached[packet.stream.type] = float((packet.dts or 0) * packet.time_base)
            assert abs(reached["video"] - reached["audio"]) < 0.5
    assert min(reached.values()) > 29


def test_frames_are_taken_one_at_a_time() -> None:
    given_out: list[weakref.ref[Pixels]] = []

    def frames() -> Iterator[Pixels]:
        for index in range(200):
            frame = picture(index)
            given_out.append(weakref.ref(frame))
            assert sum(reference() is not None for reference in given_out) <= 2
            yield frame

    encode_mp4(io.BytesIO(), frames(), 24, tone(9))
    assert len(given_out) == 200


def test_path_gets_a_whole_file_or_none(tmp_path: Path) -> None:
    def failing() -> Iterator[Pixels]:
        yield from (picture(index) for index in range(60))
        assert len(list(tmp_path.iterdir())) == 2
        raise RuntimeError("the model failed")

    for target in (tmp_path / "http:clip.mp4", str(tmp_path / "http:clip.mp4")):
        encode_mp4(target, [picture(index) for index in range(5)], 24)
    with pytest.raises(RuntimeError, match="the model failed"):
        encode_mp4(target, failing(), 24, tone(2))
    assert os.listdir(tmp_path) == ["http:clip.mp4"] and Path(target).read_bytes() == mp4()
    (plain := tmp_path / "plain").touch()
    assert Path(target).stat().st_mode == plain.stat().st_mode
    with pytest.raises(FileNotFoundError):
        encode_mp4(tmp_path / "missing" / "clip.mp4", [picture()], 24)


def test_encode_mp4_refuses(tmp_path: Path) -> None:
    def refused(message: str, *frames: Any, fps: float = 24, **options: Any) -> None:
        refuses(message, encode_mp4, tmp_path / "clip.mp4", frames, fps, **options)

    refused("at least one")
    refused("width is 63; .* even width", picture(0, 48, 63))
    refused("height is 47; .* even height", picture(0, 47, 64))
    refused(r"frame 1 is \(64, 64, 3\) after \(48, 64, 3\)", picture(), picture(0, 64, 64))
    refused(r"frame 0 is uint8 \(48, 64\); use uint8", picture()[..., 0])
    refused(r"frame 0 is float64 \(48, 64, 3\); use uint8", picture() / 255)
    for fps in (0, -24, 1e-9, float("nan"), float("inf")):
        refused(f"fps is {fps}; use a positive", picture(), fps=fps)
    refused("crf is 52; use 0 to 51", picture(), crf=52)
    refused("use settings like 'veryfast'", picture(), x264_preset="hasty")
    refused("use settings like .* 48000 Hz", picture(), sound=tone(1), sampling_rate=50_000)
    refused("sampling_rate is 10; use 7350 to 96000", picture(), sound=tone(1), sampling_rate=10)
    for sound in (tone(1)[0], tone(1, channels=3), tone(0), tone(1) + np.inf, np.ones((2, 9), np.int16)):
        refused("use finite float32", picture(), sound=sound)
    assert not list(tmp_path.iterdir())


def test_bytes_do_not_depend_on_what_memory_held_before() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (5, 64, 64, 3), dtype=np.uint8)
    made = set()
    for _ in range(8):
        # x264 once read memory it had never written; this leaves other leftovers for every encoding.
        rubbish = [rng.integers(0, 255, int(size), dtype=np.uint8) for size in rng.integers(1_000, 200_000, 200)]
        del rubbish
        target = io.BytesIO()
        encode_mp4(target, frames, 24.0)
        made.add(target.getvalue())
    assert len(made) == 1
