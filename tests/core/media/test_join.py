"""Files of a video's parts put together: the same pictures one after the other, without encoding again."""

from __future__ import annotations

import io
from typing import BinaryIO

import av
import numpy as np
import pytest

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.join import join_mp4
from cosmos3_core.media.mp4 import encode_mp4
from tests.core.media.samples import Pixels, picture


def part(first: int, count: int, fps: float = 24.0) -> bytes:
    content = io.BytesIO()
    encode_mp4(content, (picture(7 * index) for index in range(first, first + count)), fps)
    return content.getvalue()


def joined(parts: list[bytes]) -> tuple[bytes, int]:
    target = io.BytesIO()
    count = join_mp4(target, parts)
    return target.getvalue(), count


@pytest.mark.parametrize("fps", [10.0, 24.0, 29.97])
@pytest.mark.parametrize("counts", [(9,), (9, 8), (5, 1, 8, 300), (1, 1), (2, 5), (1, 9, 2)])
def test_the_frames_are_those_of_the_parts_at_the_same_rate(counts: tuple[int, ...], fps: float) -> None:
    parts = [part(sum(counts[:index]), count, fps) for index, count in enumerate(counts)]
    content, frames = joined(parts)
    whole = decode_video(content)
    assert frames == len(whole.frames) == sum(counts) and whole.fps == pytest.approx(fps, abs=1e-6)
    expected: Pixels = np.concatenate([decode_video(one).frames for one in parts])
    assert np.array_equal(whole.frames, expected)


def test_frames_follow_each_other_without_a_gap() -> None:
    content, _ = joined([part(0, 9), part(9, 8), part(17, 8)])
    with av.open(io.BytesIO(content), "r") as container:
        track = container.streams.video[0]
        times = [frame.pts for frame in container.decode(track) if frame.pts is not None]
        assert track.frames == 25 and track.duration is not None and track.time_base is not None
        assert float(track.duration * track.time_base) == pytest.approx(25 / 24)
    assert len(set(np.diff(times))) == 1


def test_a_file_can_be_read_from_any_of_its_parts() -> None:
    content, _ = joined([part(0, 9), part(9, 8)])
    with av.open(io.BytesIO(content), "r") as container:
        keys = [index for index, frame in enumerate(container.decode(video=0)) if frame.key_frame]
    assert keys == [0, 9]


def test_the_index_stands_before_the_pictures() -> None:
    content, _ = joined([part(0, 5), part(5, 4)])
    assert content.index(b"moov") < content.index(b"mdat")


def test_the_same_parts_give_the_same_bytes() -> None:
    parts = [part(0, 5), part(5, 4)]
    assert joined(parts) == joined(parts)


def test_no_parts_are_no_video() -> None:
    target: BinaryIO = io.BytesIO()
    with pytest.raises(MediaError, match="no parts to join"):
        join_mp4(target, [])
