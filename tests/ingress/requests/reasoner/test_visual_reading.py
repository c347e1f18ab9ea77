"""How media are read: one number for the frames of a video, whichever field says it, and bounds on pixels."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core.errors import RequestError
from cosmos3_core.media.frame_sampling import FrameSampling
from deployments.ingress.requests.reasoner.visual_reading import LEAST_PIXELS, MOST_PIXELS, read_visual_reading
from deployments.wire.visual_input import VisualReading

FOUR = FrameSampling(fps=4.0)


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        ({}, None),
        ({"mm_processor_kwargs": None, "media_io_kwargs": {}}, None),
        ({"mm_processor_kwargs": {"fps": 4, "do_sample_frames": True}}, FOUR),
        ({"mm_processor_kwargs": {"fps": 4, "do_sample_frames": False}}, FOUR),
        ({"media_io_kwargs": {"video": {"fps": 4.0}}}, FOUR),
        ({"media_io_kwargs": {"video": {"fps": 4.0}}, "mm_processor_kwargs": {"fps": 4}}, FOUR),
        ({"media_io_kwargs": {"video": {"num_frames": -1}}, "mm_processor_kwargs": {"fps": 4}}, FOUR),
        ({"media_io_kwargs": {"video": {"num_frames": 12}}}, FrameSampling(num_frames=12)),
        ({"mm_processor_kwargs": {"num_frames": 12}}, FrameSampling(num_frames=12)),
        ({"mm_processor_kwargs": {"do_sample_frames": True}}, None),
    ],
)
def test_how_densely_a_video_is_read(body: dict[str, Any], frames: FrameSampling | None) -> None:
    assert read_visual_reading(body) == VisualReading(frames)


@pytest.mark.parametrize(
    ("processor", "least", "most"),
    [
        ({"size": {"shortest_edge": 1568, "longest_edge": 262144}}, 1568, 262144),
        ({"size": {"longest_edge": 262144}}, None, 262144),
        ({"min_pixels": 2048}, 2048, None),
        ({"max_pixels": 4096, "size": {"longest_edge": 4096}}, None, 4096),
    ],
)
def test_how_large_media_are_read(processor: dict[str, Any], least: int | None, most: int | None) -> None:
    assert read_visual_reading({"mm_processor_kwargs": processor}) == VisualReading(None, least, most)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mm_processor_kwargs": 3}, "mm_processor_kwargs"),
        ({"mm_processor_kwargs": {"fps": 0}}, "mm_processor_kwargs.fps"),
        ({"mm_processor_kwargs": {"fps": True}}, "mm_processor_kwargs.fps"),
        ({"mm_processor_kwargs": {"fps": 31}}, "mm_processor_kwargs.fps"),
        ({"mm_processor_kwargs": {"fps": [4]}}, "mm_processor_kwargs.fps"),
        ({"mm_processor_kwargs": {"num_frames": 0}}, "mm_processor_kwargs.num_frames"),
        ({"mm_processor_kwargs": {"num_frames": 2.5}}, "mm_processor_kwargs.num_frames"),
        ({"mm_processor_kwargs": {"fps": 4, "num_frames": 8}}, "mm_processor_kwargs.num_frames"),
        ({"mm_processor_kwargs": {"device": "cuda"}}, "mm_processor_kwargs.device"),
        ({"mm_processor_kwargs": {"size": 3}}, "mm_processor_kwargs.size"),
        ({"mm_processor_kwargs": {"size": {"height": 64}}}, "mm_processor_kwargs.size.height"),
        ({"mm_processor_kwargs": {"size": {"longest_edge": 10**12}}}, "mm_processor_kwargs.size.longest_edge"),
        ({"mm_processor_kwargs": {"min_pixels": 1}}, "mm_processor_kwargs.min_pixels"),
        ({"mm_processor_kwargs": {"min_pixels": 4096, "max_pixels": 2048}}, "mm_processor_kwargs"),
        (
            {"mm_processor_kwargs": {"max_pixels": 4096, "size": {"longest_edge": 2048}}},
            "mm_processor_kwargs.max_pixels",
        ),
        ({"media_io_kwargs": {"audio": {}}}, "media_io_kwargs.audio"),
        ({"media_io_kwargs": {"image": {"image_mode": "L"}}}, "media_io_kwargs.image.image_mode"),
        ({"media_io_kwargs": {"video": {"video_backend": "x"}}}, "media_io_kwargs.video.video_backend"),
        (
            {"media_io_kwargs": {"video": {"fps": 2}}, "mm_processor_kwargs": {"fps": 4}},
            "media_io_kwargs.video.fps",
        ),
    ],
)
def test_what_is_refused_is_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_visual_reading(body)
    assert refused.value.field == field


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["video", "image", "fps", "num_frames", "size", "longest_edge", "min_pixels", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["mm_processor_kwargs", "media_io_kwargs"]), JSON, max_size=2))
def test_anything_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        reading = read_visual_reading(body)
    except RequestError as error:
        assert error.field.startswith(("mm_processor_kwargs", "media_io_kwargs"))
    else:
        assert 0 < reading.sampling.fps <= 30
        for pixels in (reading.least_pixels, reading.most_pixels):
            assert pixels is None or LEAST_PIXELS <= pixels <= MOST_PIXELS
