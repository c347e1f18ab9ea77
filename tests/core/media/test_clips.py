"""Videos become upright RGB frames with the right colours, whatever wrote them."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from vllm.multimodal.video_decoders.opencv import OpenCVVideoBackendMixin

from cosmos3_core.media import clips
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import decode_frames, decode_video, frames_at, video_seconds
from cosmos3_core.media.mp4 import encode_mp4
from tests.core.media.samples import (
    CARD,
    LONGER,
    QUADRANTS,
    Colour,
    distance,
    flat,
    mp4,
    other_video,
    real_files,
    refuses,
    tone,
)
from tests.hostile_files import clip
from tests.parity.cases import drifting


def test_real_videos_decode_and_select() -> None:
    for content in real_files("videos", "mp4"):
        clip = decode_video(content)
        with av.open(io.BytesIO(content)) as container:
            stream = container.streams.video[0]
            assert clip.frames.shape == (stream.frames, stream.height, stream.width, 3)
            assert stream.average_rate is not None and clip.fps == float(stream.average_rate)
        assert clip.frames.dtype == np.uint8 and clip.frames.flags.c_contiguous and clip.frames.std() > 1
        for count in (1, 5, 10_000):
            assert np.array_equal(decode_video(content, first=count).frames, clip.frames[:count])
            assert np.array_equal(decode_video(content, last=count).frames, clip.frames[-count:])
    refuses("give one of them", decode_video, LONGER[0], first=1, last=1)
    refuses("first is 0", decode_video, LONGER[0], first=0)
    refuses("last is -2", decode_video, LONGER[0], last=-2)


@pytest.mark.parametrize("colour", CARD)
@pytest.mark.parametrize(
    ("height", "width", "options"),
    [
        (64, 64, {}),
        (720, 1280, {"matrix": 1}),
        (64, 64, {"matrix": 1, "colorspace": 1}),
        (720, 1280, {"colorspace": 6}),
        (64, 64, {"color_range": 2}),
        (64, 64, {"pixel_format": "yuv420p10le"}),
        (64, 64, {"codec": "libx264rgb", "pixel_format": "rgb24"}),
        (64, 64, {"codec": "libvpx-vp9", "container": "webm"}),
    ],
)
def test_other_files_keep_colours(colour: Colour, height: int, width: int, options: dict[str, Any]) -> None:
    content = other_video(flat(colour, height, width), **options)
    assert distance(decode_video(content).frames, colour) <= 4


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_display_matrix_is_applied(angle: int, mirrored: bool) -> None:
    frames = decode_video(other_video(QUADRANTS, turn=(angle, mirrored))).frames
    expected = np.rot90(QUADRANTS, angle // 90)[:, :: -1 if mirrored else 1]
    assert frames.shape[1:] == expected.shape and np.abs(frames.astype(int) - expected).mean() < 4


def test_motion_jpeg_with_exif_is_turned() -> None:
    exif, still, content = Image.Exif(), io.BytesIO(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(QUADRANTS).save(still, "JPEG", exif=exif)
    with av.open(content, "w", format="avi") as output:
        packet = av.Packet(still.getvalue())
        packet.stream = output.add_mux_stream("mjpeg", 10, width=64, height=48)
        packet.pts, packet.dts, packet.time_base = 0, 0, Fraction(1, 10)
        output.mux(packet)
    assert np.abs(decode_video(content.getvalue()).frames - np.rot90(QUADRANTS, -1).astype(int)).mean() < 4


def test_a_clip_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = decode_video(LONGER[0]).frames
    monkeypatch.setattr("cosmos3_core.media.clips.MAX_CLIP_BYTES", 3 * frames[0].nbytes)
    assert len(decode_video(LONGER[0], first=3).frames) == 3
    refuses("use fewer or smaller frames", decode_video, LONGER[0])


@pytest.mark.parametrize(
    ("times", "indexes"),
    [
        ([0.0], [0]),
        ([0.0, 0.49, 0.5, 0.51, 1.0], [0, 3, 4, 4, 8]),
        ([0.3, 0.3, 0.3], [2, 2, 2]),
        ([1.4, 99.0], [11, 11]),
        ([-1.0], [0]),
    ],
)
def test_frames_at_times(times: list[float], indexes: list[int]) -> None:
    content = mp4(12, 8)
    found = frames_at(content, times)
    assert found.fps == 8
    assert np.array_equal(found.frames, decode_video(content).frames[indexes])


@pytest.mark.parametrize("times", [[], [1.0, 0.5]])
def test_times_that_do_not_ascend_are_refused(times: list[float]) -> None:
    with pytest.raises(MediaError, match="ascending order"):
        frames_at(mp4(3), times)


@pytest.mark.parametrize(("frames", "fps"), [(1, 24), (12, 8), (30, 29.97)])
@pytest.mark.parametrize("sound", [None, tone(2.0)], ids=["silent", "with sound"])
def test_the_length_is_that_of_the_frames(frames: int, fps: float, sound: Any) -> None:
    assert video_seconds(mp4(frames, fps, sound)) == pytest.approx(frames / fps, rel=1e-3)


def test_real_videos_have_their_length() -> None:
    for content in real_files("videos", "mp4"):
        clip = decode_video(content)
        assert video_seconds(content) == pytest.approx(len(clip.frames) / clip.fps, abs=0.1)
        assert np.array_equal(frames_at(content, [0.0]).frames[0], clip.frames[0])


def test_a_file_without_a_length_is_refused() -> None:
    refuses("expected a complete MP4", video_seconds, b"no video")
    refuses("expected a complete MP4", frames_at, b"no video", [0.0])


@pytest.mark.parametrize("size", [(96, 128), (64, 66)])
def test_chosen_frames_are_those_of_opencv(size: tuple[int, int]) -> None:
    """As vLLM reads them, whatever the colours that the stream names."""
    target = io.BytesIO()
    encode_mp4(target, drifting(12, size, seed=4), 8.0)
    for content in (target.getvalue(), *real_files("videos", "mp4")):
        capture = OpenCVVideoBackendMixin.open_video_capture(content)
        expected = OpenCVVideoBackendMixin.get_video_metadata(capture)
        wanted = [0, 3, 7]
        frames, found = OpenCVVideoBackendMixin.read_frames(capture, wanted, expected.total_frames_num)
        clip = decode_frames(content, lambda total, fps: [0, 3, 7])
        assert (clip.indices, clip.total, clip.fps) == (found, expected.total_frames_num, expected.original_fps)
        assert np.array_equal(clip.frames, frames)


def test_frames_behind_the_last_chosen_one_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    target = io.BytesIO()
    encode_mp4(target, drifting(12, (64, 64), seed=4), 8.0)
    seen: list[int] = []

    def counted(frames: Any, wanted: set[int], found: list[int]) -> Any:
        def counting() -> Any:
            for frame in frames:
                seen.append(1)
                yield frame

        return chosen(counting(), wanted, found)

    chosen = clips._chosen
    monkeypatch.setattr(clips, "_chosen", counted)
    assert decode_frames(target.getvalue(), lambda total, fps: [0, 2]).indices == [0, 2]
    assert len(seen) == 3


def test_chosen_frames_that_a_file_does_not_have_are_left_out() -> None:
    target = io.BytesIO()
    encode_mp4(target, drifting(4, (64, 64), seed=4), 8.0)
    assert decode_frames(target.getvalue(), lambda total, fps: [1, 3, 50]).indices == [1, 3]
    with pytest.raises(MediaError, match="no frames"):
        decode_frames(target.getvalue(), lambda total, fps: [50])


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libvpx-vp9", "webm"), ("libvpx-vp9", "mp4"), ("libsvtav1", "mp4"), ("libsvtav1", "matroska")],
)
def test_a_frame_that_a_decoder_passes_over_is_missed(codec: str, container: str) -> None:
    content = clip(codec, container, frames=12)
    assert len(decode_video(content).frames) == 12
    with av.open(io.BytesIO(content), "r") as opened:
        places = [(packet.pos, packet.size) for packet in opened.demux(video=0) if packet.pos is not None]
    for position, size in [place for place in places[2:-2] if place[1] > 15]:
        # Behind the sizes and the header of a block.
        start = position + min(8, size // 2)
        damaged = content[:start] + b"\xff" * (position + size - start) + content[position + size :]
        refuses("cannot decode video", decode_video, damaged)


@pytest.mark.parametrize(("codec", "container"), [("libx264", "avi"), ("libx264", "mpegts"), ("libx265", "mpegts")])
def test_frames_out_of_order_and_times_that_begin_anew_are_no_damage(codec: str, container: str) -> None:
    content = clip(codec, container, frames=40)
    assert len(decode_video(content).frames) == 40
    if container == "mpegts":
        assert len(decode_video(content + content).frames) in (79, 80)
