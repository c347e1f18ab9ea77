"""Sizes, frame counts and aspect ratios (spec 6.3, 6.6, 8.5), with diffusers' bins as oracle."""

from __future__ import annotations

import math
import pickle

import pytest
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import _ACTION_RESOLUTION_BINS
from diffusers.video_processor import VideoProcessor
from hypothesis import given
from hypothesis import strategies as st

from cosmos3_core import geometry
from cosmos3_core.errors import RequestError
from cosmos3_core.geometry import Canvas

RATIOS = ("1,1", "4,3", "3,4", "16,9", "9,16")
# Spec 6.6, in the order of RATIOS.
TABLE = {
    "256": ("256x256", "320x256", "256x320", "320x192", "192x320"),
    "480": ("640x640", "736x544", "544x736", "832x480", "480x832"),
    "704": ("960x960", "1088x832", "832x1088", "1280x704", "704x1280"),
    "720": ("960x960", "1104x832", "832x1104", "1280x720", "720x1280"),
    "768": ("1024x1024", "1184x880", "880x1184", "1360x768", "768x1360"),
}
SIZES = [(tier, ratio, size) for tier, row in TABLE.items() for ratio, size in zip(RATIOS, row, strict=True)]

tiers = st.sampled_from(sorted(TABLE))
ratios = st.sampled_from(RATIOS)
sides = st.integers(1, 6000)


def parse(size: str) -> Canvas:
    width, height = size.split("x")
    return Canvas(int(width), int(height))


@pytest.mark.parametrize(("tier", "ratio", "size"), SIZES)
def test_a_tier_and_a_ratio_name_a_size(tier: str, ratio: str, size: str) -> None:
    assert geometry.tier_canvas(tier, ratio) == parse(size)
    assert geometry.tier_canvas(tier, ratio.replace(",", ":")) == parse(size)


@pytest.mark.parametrize(
    ("size", "latent", "tokens"),
    [
        ("256x256", (16, 16), 64),
        ("320x256", (16, 20), 80),
        ("320x192", (12, 20), 60),
        ("640x640", (40, 40), 400),
        ("736x544", (34, 46), 391),
        ("832x480", (30, 52), 390),
        ("960x960", (60, 60), 900),
        ("1104x832", (52, 69), 910),
        ("1280x720", (45, 80), 920),
        ("1024x1024", (64, 64), 1024),
        ("1184x880", (55, 74), 1036),
        ("1360x768", (48, 85), 1032),
    ],
)
def test_latent_sides_are_a_sixteenth(size: str, latent: tuple[int, int], tokens: int) -> None:
    canvas = parse(size)
    assert canvas.latent == latent
    assert math.ceil(canvas.height / 32) * math.ceil(canvas.width / 32) == tokens


@pytest.mark.parametrize(
    ("tier", "ratio", "field"),
    [
        ("480p", "16,9", "resolution"),
        ("", "1,1", "resolution"),
        ("480", "2,1", "aspect_ratio"),
        ("480", "", "aspect_ratio"),
    ],
)
def test_an_unknown_tier_or_ratio_is_refused(tier: str, ratio: str, field: str) -> None:
    with pytest.raises(RequestError) as error:
        geometry.tier_canvas(tier, ratio)
    assert error.value.field == field
    assert "expected one of" in error.value.reason


@given(st.integers(4, 256), st.integers(4, 256))
def test_multiples_of_sixteen_are_legal_sizes(columns: int, rows: int) -> None:
    canvas = geometry.check_canvas(16 * columns, 16 * rows)
    assert (canvas.width, canvas.height) == (16 * columns, 16 * rows)


@given(st.integers(-100, 10_000).filter(lambda side: not 64 <= side <= 8192), st.booleans())
def test_a_side_out_of_range_is_refused_by_name(side: int, wide: bool) -> None:
    width, height = (side, 256) if wide else (256, side)
    with pytest.raises(RequestError) as error:
        geometry.check_canvas(width, height)
    assert error.value.field == ("width" if wide else "height")
    assert str(side) in error.value.reason


@given(st.integers(64, 8192), st.integers(64, 2048))
def test_any_other_size_is_floored_to_a_legal_one(width: int, height: int) -> None:
    canvas = geometry.check_canvas(width, height)
    assert canvas.width % 16 == 0 == canvas.height % 16
    assert 0 <= width - canvas.width < 16 and 0 <= height - canvas.height < 16
    assert geometry.check_canvas(canvas.width, canvas.height) == canvas


def test_a_canvas_of_too_many_pixels_is_refused() -> None:
    assert geometry.check_canvas(7680, 4320) == Canvas(7680, 4320)
    with pytest.raises(RequestError, match="33300480 pixels") as error:
        geometry.check_canvas(7680, 4336)
    assert error.value.field == "width"


@given(st.integers(100, 800), st.integers(100, 800), st.sampled_from([640 * 640, 832 * 480, 1280 * 720]))
def test_a_canvas_of_an_area_has_the_shape_of_its_source(width: int, height: int, pixels: int) -> None:
    canvas = geometry.canvas_of_area(pixels, width, height)
    exact_width, exact_height = math.sqrt(pixels * width / height), math.sqrt(pixels * height / width)
    assert canvas == Canvas(round(exact_width) // 16 * 16, round(exact_height) // 16 * 16)


@pytest.mark.parametrize(
    ("source", "size"),
    [
        ("1280x720", "1280x720"),
        ("1920x1080", "1280x720"),
        ("832x480", "1264x720"),
        ("1672x941", "1280x720"),
        ("176x176", "960x960"),
        ("1248x702", "1280x720"),
        ("720x1280", "720x1280"),
    ],
)
def test_a_720p_canvas_for_a_picture_is_the_one_that_vllm_omni_takes(source: str, size: str) -> None:
    picture = parse(source)
    assert geometry.canvas_of_area(1280 * 720, picture.width, picture.height) == parse(size)


@given(st.sampled_from([(10_000, 1), (1, 10_000)]))
def test_a_canvas_of_an_area_stays_legal_for_a_strip(source: tuple[int, int]) -> None:
    canvas = geometry.canvas_of_area(1280 * 720, *source)
    assert geometry.check_canvas(canvas.width, canvas.height) == canvas


@pytest.mark.parametrize("tier", ["256", "480", "704", "720"])
@given(width=sides, height=sides)
def test_an_action_canvas_is_the_one_that_diffusers_takes(tier: str, width: int, height: int) -> None:
    bins = _ACTION_RESOLUTION_BINS[tier]
    expected = VideoProcessor.classify_height_width_bin(height, width, ratios=bins)
    canvas = geometry.action_canvas(tier, width, height)
    assert (canvas.height, canvas.width) == expected


@pytest.mark.parametrize("tier", ["768", "1080", "480p"])
def test_actions_have_no_such_tier(tier: str) -> None:
    with pytest.raises(RequestError) as error:
        geometry.action_canvas(tier, 640, 480)
    assert error.value.field == "resolution"


@given(tiers, ratios, sides, sides)
def test_a_source_is_shrunk_and_never_enlarged_to_fit(tier: str, ratio: str, width: int, height: int) -> None:
    canvas = geometry.tier_canvas(tier, ratio)
    content = geometry.fit_inside(canvas, width, height)
    assert 1 <= content.width <= min(canvas.width, width)
    assert 1 <= content.height <= min(canvas.height, height)
    if width <= canvas.width and height <= canvas.height:
        assert content == Canvas(width, height)
    else:
        scale = min(canvas.width / width, canvas.height / height)
        for side, exact in ((content.width, scale * width), (content.height, scale * height)):
            assert side == pytest.approx(max(1.0, exact), abs=0.5 + 1e-9)


@given(sides, sides)
def test_sides_are_floored_to_sixteen(width: int, height: int) -> None:
    for side, floored in zip((width, height), geometry.floor_to_stride(width, height), strict=True):
        assert floored % 16 == 0
        assert floored == 16 or side - 16 < floored <= side


@pytest.mark.parametrize(("tier", "ratio", "size"), SIZES)
def test_the_table_knows_the_ratio_of_its_own_sizes(tier: str, ratio: str, size: str) -> None:
    assert geometry.exact_aspect_ratio(parse(size)) == ratio


@pytest.mark.parametrize(
    ("size", "nearest", "exact"),
    [
        ("512x768", "3,4", "2,3"),
        ("1264x720", "16,9", "79,45"),
        ("832x512", "16,9", "13,8"),
        ("2048x64", "16,9", "32,1"),
        ("64x2048", "9,16", "1,32"),
        ("688x640", "1,1", "43,40"),
    ],
)
def test_other_sizes_have_a_nearest_and_an_exact_ratio(size: str, nearest: str, exact: str) -> None:
    assert geometry.nearest_aspect_ratio(parse(size)) == nearest
    assert geometry.exact_aspect_ratio(parse(size)) == exact


@given(st.integers(1, 400))
def test_frames_are_rounded_up_to_one_more_than_a_multiple_of_four(frames: int) -> None:
    assert geometry.round_up_frames(frames) == next(n for n in range(frames, frames + 4) if n % 4 == 1)


@pytest.mark.parametrize(("frames", "latent"), [(1, 1), (5, 2), (17, 5), (61, 16), (93, 24), (121, 31), (189, 48)])
def test_latent_frames_of_a_clip(frames: int, latent: int) -> None:
    assert geometry.latent_frames(frames) == latent


@given(st.integers(1, 300), st.floats(1, 60))
def test_a_legal_length_is_accepted(frames: int, fps: float) -> None:
    assert geometry.check_video_length(frames, fps) == geometry.round_up_frames(frames)


@pytest.mark.parametrize(
    ("frames", "fps", "field"),
    [
        (0, 24.0, "num_frames"),
        (-1, 24.0, "num_frames"),
        (401, 24.0, "num_frames"),
        (189, 0.5, "fps"),
        (189, 60.5, "fps"),
        (189, math.nan, "fps"),
        (189, math.inf, "fps"),
    ],
)
def test_an_illegal_length_is_refused(frames: int, fps: float, field: str) -> None:
    with pytest.raises(RequestError) as error:
        geometry.check_video_length(frames, fps)
    assert error.value.field == field
    assert "expected" in error.value.reason


def test_a_refusal_survives_pickling() -> None:
    error = RequestError("width", "is 3; expected 64")
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.field, copied.reason, str(copied)) == (
        "width",
        "is 3; expected 64",
        "width is 3; expected 64",
    )
