"""Which frames of a video are read: the formula of transformers' processor, once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

from cosmos3_core.media.frame_sampling import MAX_FRAMES, FrameSampling, timestamps


@given(
    total=st.integers(1, 3000),
    source=st.floats(1, 120),
    fps=st.floats(0.1, 30),
)
def test_the_indices_are_those_of_transformers(total: int, source: float, fps: float) -> None:
    metadata = VideoMetadata(total_num_frames=total, fps=source)
    expected = Qwen3VLVideoProcessor().sample_frames(metadata, fps=fps)
    assert FrameSampling(fps=fps).indices(total, source) == list(expected)


@given(total=st.integers(1, 2000), count=st.integers(1, MAX_FRAMES))
def test_a_number_of_frames(total: int, count: int) -> None:
    indices = FrameSampling(num_frames=count).indices(total, 25.0)
    assert len(indices) == len(set(indices)) == min(count, total) and indices[0] == 0
    assert indices[-1] == (total - 1 if len(indices) > 1 else 0)
    assert indices == sorted(indices)


@pytest.mark.parametrize(
    ("indices", "patch", "expected"),
    [([0, 10, 20, 30], 2, [0.5, 2.5]), ([0, 10, 20], 2, [0.5, 2.0]), ([0, 10], 1, [0.0, 1.0]), ([5], 2, [0.5])],
)
def test_seconds_of_each_patch(indices: list[int], patch: int, expected: list[float]) -> None:
    assert timestamps(indices, 10.0, patch) == expected
