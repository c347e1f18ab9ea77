"""Tokens of a generation sequence: how many, where, which are noisy, what is in them (spec 2.7, 3.2, 14)."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import get_3d_mrope_ids_vae_tokens
from hypothesis import example, given
from hypothesis import strategies as st

from cosmos3_core import geometry
from cosmos3_core.model.layout import Modality, SequenceLayout
from cosmos3_core.model.sequence import joined, media_positions, noisy_tokens, patchify, unpatchify
from tests.published import EDGE, NANO

MARGIN = 15_000

tiers = st.sampled_from(sorted(geometry.SIZES))
ratios = st.sampled_from(["1,1", "4,3", "3,4", "16,9", "9,16"])
frame_counts = st.integers(5, 300)
rates = st.one_of(st.integers(1, 60).map(float), st.floats(1, 60))
texts = st.integers(1, 5000)


def clip_layout(tier: str, ratio: str, frames: int, fps: float) -> SequenceLayout:
    height, width = geometry.tier_canvas(tier, ratio).latent
    return SequenceLayout(geometry.latent_frames(geometry.round_up_frames(frames)), height, width, fps)


def small_layouts() -> st.SearchStrategy[SequenceLayout]:
    def conditioned(layout: SequenceLayout) -> st.SearchStrategy[SequenceLayout]:
        return st.builds(
            lambda frames, rows: replace(layout, clean_frames=tuple(frames), clean_rows=tuple(rows)),
            st.sets(st.integers(0, layout.frames - 1)),
            st.sets(st.integers(0, layout.action_rows - 1)) if layout.action_rows else st.just(set()),
        )

    plain = st.builds(
        SequenceLayout,
        frames=st.integers(1, 6),
        height=st.integers(1, 9),
        width=st.integers(1, 9),
        fps=rates,
        sound_frames=st.integers(0, 7),
        clean_sound=st.booleans(),
        action_rows=st.integers(0, 8),
        first_row_frame=st.integers(0, 1),
    )
    return plain.flatmap(conditioned)


@given(tiers, ratios, frame_counts, rates)
def test_vision_tokens_are_cells_of_32_pixels_times_latent_frames(
    tier: str, ratio: str, frames: int, fps: float
) -> None:
    canvas = geometry.tier_canvas(tier, ratio)
    layout = clip_layout(tier, ratio, frames, fps)
    latent_frames = 1 + math.ceil((frames - 1) / 4)
    cells = math.ceil(canvas.height / 32) * math.ceil(canvas.width / 32)
    assert layout.vision_tokens(2) == latent_frames * cells


@pytest.mark.parametrize(
    ("tier", "ratio", "per_frame", "frames", "tokens"),
    [
        ("256", "1,1", 64, 189, 3_072),
        ("256", "4,3", 80, 189, 3_840),
        ("256", "16,9", 60, 189, 2_880),
        ("480", "1,1", 400, 189, 19_200),
        ("480", "4,3", 391, 189, 18_768),
        ("480", "16,9", 390, 189, 18_720),
        ("480", "16,9", 390, 121, 12_090),
        ("720", "1,1", 900, 189, 43_200),
        ("720", "4,3", 910, 189, 43_680),
        ("720", "16,9", 920, 189, 44_160),
        ("768", "1,1", 1024, 1, 1_024),
        ("768", "4,3", 1036, 1, 1_036),
        ("768", "16,9", 1032, 1, 1_032),
    ],
)
def test_tokens_of_the_published_sizes(tier: str, ratio: str, per_frame: int, frames: int, tokens: int) -> None:
    layout = clip_layout(tier, ratio, frames, 24.0)
    rows, columns = layout.grid(2)
    assert rows * columns == per_frame
    assert layout.tokens(2) == tokens


def test_sound_and_action_tokens_come_on_top() -> None:
    layout = replace(clip_layout("720", "16,9", 189, 24.0), sound_frames=197)
    assert layout.tokens(2) == 44_160 + 197
    assert replace(layout, action_rows=16).tokens(2) == 44_160 + 197 + 16


def test_the_position_example_of_the_specification() -> None:
    layout = SequenceLayout(frames=5, height=30, width=52, fps=16.0, sound_frames=11)
    positions = media_positions(NANO.config, layout, 200)
    rows, columns = layout.grid(2)
    token = (3 * rows + 4) * columns + 7
    assert positions[:, token].tolist() == [15204.5, 4, 7]
    sound = layout.vision_tokens(2) + 10
    assert positions[:, sound].tolist() == pytest.approx([15209.6, 0, 0], abs=1e-3)
    acting = SequenceLayout(frames=5, height=30, width=52, fps=10.0, action_rows=16)
    first_row = media_positions(NANO.config, acting, 200)[:, acting.vision_tokens(2)]
    assert first_row.tolist() == pytest.approx([15200.6, 0, 0], abs=1e-3)


@given(tiers, ratios, frame_counts, rates, texts, st.data())
def test_a_vision_token_sits_at_its_time_row_and_column(
    tier: str, ratio: str, frames: int, fps: float, text: int, data: st.DataObject
) -> None:
    layout = clip_layout(tier, ratio, frames, fps)
    rows, columns = layout.grid(2)
    positions = media_positions(NANO.config, layout, text)
    assert positions.shape == (3, layout.tokens(2))
    assert positions.dtype == torch.float32
    for _ in range(5):
        frame = data.draw(st.integers(0, layout.frames - 1))
        row, column = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
        time, y, x = positions[:, (frame * rows + row) * columns + column].tolist()
        assert (y, x) == (row, column)
        exact = text + MARGIN + Fraction(frame) * 24 / Fraction(fps)
        assert time == pytest.approx(float(exact), abs=0.004)


@given(rates, texts, st.integers(2, 200), st.integers(2, 400), st.integers(0, 1))
def test_sound_and_action_share_the_clip_offset(
    fps: float, text: int, sound_frames: int, action_rows: int, first: int
) -> None:
    layout = SequenceLayout(2, 2, 2, fps, sound_frames=sound_frames, action_rows=action_rows, first_row_frame=first)
    positions = media_positions(NANO.config, layout, text)
    vision, sound, action = positions.split([2, sound_frames, action_rows], dim=1)
    offset = text + MARGIN
    assert vision[0, 0] == offset
    assert sound[0].tolist() == pytest.approx([offset + 0.96 * k for k in range(sound_frames)], abs=0.004)
    expected = [offset + float((k + first) * 6 / Fraction(fps)) for k in range(action_rows)]
    assert action[0].tolist() == pytest.approx(expected, abs=0.004)
    assert not sound[1:].any()
    assert not action[1:].any()


# At 29.97 frames per second the order of two operations decides the last bit of frame 25.
@example(SequenceLayout(60, 1, 1, 29.97, sound_frames=50, action_rows=237), 200)
@given(small_layouts(), texts)
def test_positions_are_the_ones_of_diffusers_to_the_bit(layout: SequenceLayout, text: int) -> None:
    offset = text + MARGIN
    rows, columns = layout.grid(2)
    parts = [get_3d_mrope_ids_vae_tokens(layout.frames, rows, columns, offset, fps=layout.fps)[0]]
    if layout.sound_frames:
        sound = get_3d_mrope_ids_vae_tokens(layout.sound_frames, 1, 1, offset, fps=25.0, temporal_compression_factor=1)
        parts.append(sound[0])
    if layout.action_rows:
        action = get_3d_mrope_ids_vae_tokens(
            layout.action_rows,
            1,
            1,
            offset,
            fps=layout.fps,
            temporal_compression_factor=1,
            base_temporal_compression_factor=4,
            start_frame_offset=layout.first_row_frame,
        )
        parts.append(action[0])
    expected = torch.cat([part.float() for part in parts], dim=1)
    assert torch.equal(media_positions(NANO.config, layout, text), expected)


def test_another_base_rate_stretches_time() -> None:
    config = replace(NANO.config, base_fps=16.0)
    positions = media_positions(config, SequenceLayout(3, 2, 2, fps=8.0), 100)
    assert positions[0].tolist() == [15100, 15102, 15104]


def test_a_single_element_is_not_scaled_by_the_frame_rate() -> None:
    layout = SequenceLayout(1, 2, 2, fps=10.0, sound_frames=1, action_rows=1)
    assert media_positions(NANO.config, layout, 100)[0].tolist() == [15100, 15100, 15101]


def test_without_modulation_time_counts_frames() -> None:
    config = replace(NANO.config, enable_fps_modulation=False)
    layout = SequenceLayout(3, 2, 2, fps=10.0, action_rows=2)
    assert media_positions(config, layout, 100)[0].tolist() == [15100, 15101, 15102, 15101, 15102]


def test_an_edited_picture_comes_right_after_the_given_one() -> None:
    layout = SequenceLayout(1, 2, 2, fps=24.0, given_weights=(1.0,), shared_times=False)
    offset = 100 + MARGIN
    assert media_positions(NANO.config, layout, 100).tolist() == [[offset, offset + 1], [0, 0], [0, 0]]


@pytest.mark.parametrize(("shared", "starts"), [(True, (0, 0, 0)), (False, (0, 4, 8))])
def test_given_items_share_the_times_or_follow_each_other(shared: bool, starts: tuple[int, ...]) -> None:
    layout = SequenceLayout(3, 4, 2, fps=20.0, given_weights=(0.5, 0.5), shared_times=shared)
    times, rows, columns = media_positions(NANO.config, layout, 100)
    # 24 / 20 for each latent frame, and the next item starts a whole number behind the last one.
    expected = [100 + MARGIN + start + 1.2 * frame for start in starts for frame in range(3) for _ in range(2)]
    assert times.tolist() == pytest.approx(expected, abs=0.004)
    assert rows.tolist() == [0, 1] * 9 and not columns.any()


def test_sound_and_actions_share_the_offset_of_what_is_generated() -> None:
    apart = SequenceLayout(2, 2, 2, fps=24.0, sound_frames=2, action_rows=2, given_weights=(1.0,), shared_times=False)
    times = media_positions(NANO.config, apart, 100)[0]
    offset = 100 + MARGIN + 2
    assert times.tolist() == pytest.approx(
        [offset - 2, offset - 1, offset, offset + 1, offset, offset + 0.96, offset + 0.25, offset + 0.5]
    )


def test_tokens_of_given_items_come_first() -> None:
    layout = SequenceLayout(3, 5, 4, fps=24.0, action_rows=4, given_weights=(0.25, 0.75))
    assert (layout.vision_tokens(2), layout.given_tokens(2)) == (18, 36)
    assert (layout.own_tokens(2), layout.tokens(2)) == (22, 58)
    alone = layout.without_given()
    assert alone.tokens(2) == 22 and alone == replace(layout, given_weights=())
    shared = media_positions(NANO.config, layout, 7)
    assert torch.equal(shared[:, 36:], media_positions(NANO.config, alone, 7))


def test_the_latents_of_parts_are_joined_in_time() -> None:
    parts = [
        {Modality.VISION: torch.full((48, 2, 4, 4), x), Modality.ACTION: torch.full((4, 64), x)} for x in (1.0, 2.0)
    ]
    whole = joined(parts)
    assert whole[Modality.VISION].shape == (48, 4, 4, 4) and whole[Modality.ACTION].shape == (8, 64)
    assert whole[Modality.VISION][0, :, 0, 0].tolist() == [1, 1, 2, 2]
    assert whole[Modality.ACTION][:, 0].tolist() == [1] * 4 + [2] * 4


def test_both_families_have_the_same_positions() -> None:
    layout = SequenceLayout(3, 4, 5, fps=10.0, action_rows=4)
    assert torch.equal(media_positions(NANO.config, layout, 7), media_positions(EDGE.config, layout, 7))


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))
def test_a_token_holds_its_patch_row_by_row_with_channels_fastest(
    channels: int, frames: int, height: int, width: int, patch: int
) -> None:
    latent = torch.arange(1.0, 1 + channels * frames * height * width).view(channels, frames, height, width)
    tokens = patchify(latent, patch)
    rows, columns = math.ceil(height / patch), math.ceil(width / patch)
    assert tokens.shape == (frames * rows * columns, patch * patch * channels)
    expected = torch.zeros_like(tokens)
    for c, t, y, x in torch.cartesian_prod(*(torch.arange(size) for size in latent.shape)).view(-1, 4).tolist():
        token = (t * rows + y // patch) * columns + x // patch
        feature = ((y % patch) * patch + x % patch) * channels + c
        expected[token, feature] = latent[c, t, y, x]
    assert torch.equal(tokens, expected)


@given(small_layouts(), st.integers(1, 3), st.integers(1, 4))
def test_unpatchify_inverts_patchify(layout: SequenceLayout, patch: int, channels: int) -> None:
    shape = (channels, layout.frames, layout.height, layout.width)
    latent = torch.arange(float(math.prod(shape))).view(shape)
    tokens = patchify(latent, patch)
    assert len(tokens) == layout.vision_tokens(patch)
    assert torch.equal(unpatchify(tokens, layout, patch), latent)


@given(small_layouts())
def test_noisy_tokens_are_those_that_nobody_gave(layout: SequenceLayout) -> None:
    noisy = noisy_tokens(layout, 2, torch.device("cpu"))
    rows, columns = layout.grid(2)
    frames = [frame not in layout.clean_frames for frame in range(layout.frames)]
    assert noisy.vision.tolist() == [frame for frame in frames for _ in range(rows * columns)]
    assert noisy.sound.tolist() == [not layout.clean_sound] * layout.sound_frames
    assert noisy.action.tolist() == [row not in layout.clean_rows for row in range(layout.action_rows)]
    assert {noisy.vision.dtype, noisy.sound.dtype, noisy.action.dtype} == {torch.bool}
