"""Which media a mode takes, how much of them is read, and in which forms they may come."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosmos3_core.controls import ControlKind
from cosmos3_core.errors import RequestError
from cosmos3_core.inputs import MediaInputs, read_inputs
from cosmos3_core.media.clips import VideoClip
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import encode_image
from cosmos3_core.request import GenerationRequest
from examples import assets
from tests.core.media.samples import mp4, wav

PICTURE = np.arange(32 * 48 * 3, dtype=np.uint32).reshape(32, 48, 3).astype(np.uint8)
CLIP = np.stack([PICTURE + index for index in range(24)])


def read(**fields: Any) -> MediaInputs:
    return read_inputs(GenerationRequest(**{"prompt": "a robot", **fields}))


def frames(**fields: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    found = read(**fields).frames
    assert found is not None
    assert found.dtype == np.uint8
    return found


@pytest.mark.parametrize("mode", ["text2image", "text2video"])
def test_text_needs_no_media(mode: str) -> None:
    assert read(mode=mode) == MediaInputs(None)
    assert read(mode=mode).size is None


@pytest.mark.parametrize("mode", ["image2video", "forward_dynamics", "policy"])
def test_a_picture_is_one_frame(mode: str) -> None:
    assert np.array_equal(frames(mode=mode, image=PICTURE), PICTURE[None])
    assert read(mode=mode, image=PICTURE).size == (48, 32)


@pytest.mark.parametrize("mode", ["forward_dynamics", "policy"])
def test_of_a_clip_only_the_first_frame_starts_a_rollout(mode: str) -> None:
    assert np.array_equal(frames(mode=mode, video=CLIP), CLIP[:1])


def test_inverse_dynamics_reads_one_frame_more_than_actions() -> None:
    assert np.array_equal(frames(mode="inverse_dynamics", video=CLIP), CLIP[:17])
    assert np.array_equal(frames(mode="inverse_dynamics", video=CLIP, action_chunk_size=8), CLIP[:9])
    assert np.array_equal(frames(mode="inverse_dynamics", video=CLIP[:5]), CLIP[:5])


@pytest.mark.parametrize(("indexes", "count"), [((0,), 1), ((0, 1), 5), ((0, 2), 9), ((3,), 13)])
def test_a_continuation_reads_what_its_latent_frames_cover(indexes: tuple[int, ...], count: int) -> None:
    fields = {"mode": "video2video", "video": CLIP, "condition_frame_indexes_vision": indexes}
    assert np.array_equal(frames(**fields), CLIP[:count])
    assert np.array_equal(frames(**fields, condition_video_keep="last"), CLIP[-count:])


def test_a_short_clip_is_read_whole() -> None:
    for keep in ("first", "last"):
        short = frames(mode="video2video", video=CLIP[:3], condition_video_keep=keep)
        assert np.array_equal(short, CLIP[:3])


def test_a_picture_may_be_a_path_bytes_or_a_pil_image(tmp_path: Path) -> None:
    content = encode_image(PICTURE, "png")
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    rgba = Image.fromarray(PICTURE).convert("RGBA")
    for source in (path, str(path), content, Image.open(io.BytesIO(content)), rgba):
        assert np.array_equal(frames(mode="image2video", image=source), PICTURE[None])


def test_a_clip_may_be_a_path_bytes_a_clip_or_pil_images(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    encode_mp4(path, iter(CLIP), 10.0)
    decoded = frames(mode="video2video", video=path, condition_frame_indexes_vision=(2,))
    assert decoded.shape == (9, 32, 48, 3)
    assert np.array_equal(
        frames(mode="video2video", video=path.read_bytes(), condition_frame_indexes_vision=(2,)), decoded
    )
    for source in (VideoClip(CLIP, 10.0), [Image.fromarray(frame) for frame in CLIP]):
        assert np.array_equal(frames(mode="video2video", video=source), CLIP[:5])


def test_several_chunks_of_inverse_dynamics_read_all_their_frames() -> None:
    fields = {"mode": "inverse_dynamics", "video": CLIP, "action_chunk_size": 4}
    assert np.array_equal(frames(**fields, num_frames=21), CLIP[:21])
    assert np.array_equal(frames(**fields), CLIP[:5])


def test_controls_are_read_by_kind_and_a_picture_is_one_frame() -> None:
    controls = [
        {"kind": "seg", "video": encode_image(PICTURE, "png")},
        {"kind": "depth", "video": VideoClip(CLIP, 10.0)},
        {"kind": "edge", "weight": 0},
    ]
    found = read(mode="transfer", controls=controls)
    assert list(found.controls) == ["depth", "seg"] and found.frames is None
    assert np.array_equal(found.array("control_depth"), CLIP)
    assert np.array_equal(found.array("control_seg"), PICTURE[None])
    # Of controls that have a rate, the first says it.
    assert found.fps == 10.0 and found.size == (48, 32)


def test_controls_are_read_no_further_than_they_are_used() -> None:
    controls = [{"kind": "depth", "video": CLIP}]
    assert len(read(mode="transfer", controls=controls, max_frames=7).controls[ControlKind.DEPTH]) == 7
    assert len(read(mode="transfer", controls=controls, num_frames=9, max_frames=11).controls[ControlKind.DEPTH]) == 9
    computed = {"mode": "transfer", "controls": [{"kind": "edge"}], "video": CLIP}
    assert np.array_equal(frames(**computed), CLIP) and len(frames(**computed, max_frames=6)) == 6
    opening = {"mode": "transfer", "controls": controls, "video": CLIP, "num_first_chunk_conditional_frames": 5}
    assert np.array_equal(frames(**opening), CLIP[:5])


def test_a_soundtrack_is_stereo_at_the_rate_of_the_checkpoint() -> None:
    mono = np.full((16_000, 1), 16_384, np.int16)
    for source in (wav(mono, 16_000), mp4(24, 24, np.full((2, 48_000), 0.5, np.float32))):
        sound = read(mode="text2video", sound=source).sound
        assert sound is not None and sound.dtype == np.float32
        assert sound.shape[0] == 2 and abs(sound.shape[1] - 48_000) < 2_100
        assert np.abs(sound[:, 3_000:-3_000] - 0.5).max() < 0.05
    array = np.zeros((2, 10), np.float32)
    assert read(mode="image2video", image=PICTURE, sound=array).array("sound") is array


def test_real_media_are_read() -> None:
    assert read(mode="image2video", image=assets.image("av_0")).size == (832, 480)
    video = frames(mode="inverse_dynamics", video=assets.video("umi"), action_chunk_size=32)
    assert video.shape == (33, 256, 256, 3)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"mode": "text2image", "image": PICTURE}, "image"),
        ({"mode": "text2video", "image": PICTURE}, "image"),
        ({"mode": "text2video", "video": CLIP}, "video"),
        ({"mode": "image2video"}, "image"),
        ({"mode": "image2video", "video": CLIP}, "image"),
        ({"mode": "image2video", "image": PICTURE, "video": CLIP}, "video"),
        ({"mode": "video2video"}, "video"),
        ({"mode": "video2video", "image": PICTURE}, "video"),
        ({"mode": "inverse_dynamics"}, "video"),
        ({"mode": "inverse_dynamics", "image": PICTURE}, "video"),
        ({"mode": "inverse_dynamics", "video": CLIP, "action_chunk_size": 6}, "action_chunk_size"),
        ({"mode": "forward_dynamics"}, "image"),
        ({"mode": "policy"}, "image"),
        ({"mode": "image2video", "image": b"no picture"}, "image"),
        ({"mode": "image2video", "image": "/no/such/picture.png"}, "image"),
        ({"mode": "image2video", "image": 3}, "image"),
        ({"mode": "image2video", "image": PICTURE.astype(np.float32)}, "image"),
        ({"mode": "image2video", "image": PICTURE[:, :, 0]}, "image"),
        ({"mode": "image2video", "image": PICTURE[:, :, :2]}, "image"),
        ({"mode": "image2video", "image": PICTURE[:0]}, "image"),
        ({"mode": "video2video", "video": b"no clip"}, "video"),
        ({"mode": "video2video", "video": Path("/no/such/clip.mp4")}, "video"),
        ({"mode": "video2video", "video": []}, "video"),
        ({"mode": "video2video", "video": [PICTURE, PICTURE]}, "video"),
        ({"mode": "video2video", "video": PICTURE}, "video"),
        ({"mode": "video2video", "video": CLIP[:0]}, "video"),
        ({"mode": "video2video", "video": CLIP.astype(np.int16)}, "video"),
        ({"mode": "image2image"}, "image"),
        ({"mode": "image2image", "video": CLIP}, "image"),
        ({"mode": "text2video", "sound": b"no sound"}, "sound"),
        ({"mode": "text2video", "sound": "/no/such/sound.wav"}, "sound"),
        ({"mode": "text2video", "sound": mp4(5)}, "sound"),
        ({"mode": "text2video", "sound": np.zeros((1, 9), np.float32)}, "sound"),
        ({"mode": "text2video", "sound": np.zeros((2, 9))}, "sound"),
        ({"mode": "text2video", "sound": np.full((2, 9), np.nan, np.float32)}, "sound"),
        ({"mode": "text2video", "controls": [{"kind": "edge", "video": CLIP}]}, "controls"),
        ({"mode": "transfer", "controls": [{"kind": "depth", "video": b"none"}]}, "control_depth"),
        ({"mode": "transfer", "controls": [{"kind": "depth", "video": CLIP[0]}]}, "control_depth"),
    ],
)
def test_media_that_a_mode_cannot_use_are_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as error:
        read(**fields)
    assert error.value.field == field


def test_pictures_of_two_sizes_are_no_clip() -> None:
    pictures = [Image.fromarray(PICTURE), Image.fromarray(PICTURE[:16])]
    with pytest.raises(RequestError, match="video"):
        read(mode="video2video", video=pictures)


def test_a_damaged_pil_image_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    damaged = Image.open(io.BytesIO(encode_image(noise, "png")[:3000]))
    with pytest.raises(RequestError, match="image"):
        read(mode="image2video", image=damaged)
