"""Media files made here, and the project's real ones where COSMOS3_ASSETS names their folder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import wave
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from cosmos3_core.media import files as media
from cosmos3_core.media.files import MediaError, decode_audio, decode_image, decode_video, encode_image
from cosmos3_core.media.mp4 import encode_mp4

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

DECODERS: list[Callable[[bytes | Path], object]] = [decode_image, decode_video, decode_audio]
CARD = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (18, 200, 77)]
QUADRANTS = np.kron([[0, 85], [170, 255]], np.ones((24, 32)))[..., None].repeat(3, -1).astype(np.uint8)
PLAYLISTS = [b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n"]


def picture(index: int = 0, height: int = 48, width: int = 64) -> Pixels:
    y, x = np.mgrid[:height, :width]
    return np.stack([(x + index) * 2 % 256, y * 5 % 256, (x + y + index) % 256], -1).astype(np.uint8)


def flat(colour: Colour, height: int = 64, width: int = 64) -> Pixels:
    return np.full((height, width, 3), colour, np.uint8)


def tone(seconds: float, rate: int = 48_000, channels: int = 2) -> NDArray[np.float32]:
    # A sweep, for it fits itself at one alignment only.
    time = np.arange(round(seconds * rate)) / rate
    sweep = 0.5 * np.sin(2 * np.pi * (200 + 300 * time) * time)
    return np.stack([sweep * (1 - 0.3 * channel) for channel in range(channels)]).astype(np.float32)


def mp4(count: int = 5, fps: float = 24, sound: NDArray[np.float32] | None = None, **options: Any) -> bytes:
    content, height = io.BytesIO(), options.pop("height", 48)
    encode_mp4(content, (picture(index, height) for index in range(count)), fps, sound, **options)
    return content.getvalue()


def other_video(
    pixels: Pixels, matrix: int = 5, codec: str = "libx264", pixel_format: str = "yuv420p", **options: Any
) -> bytes:
    # What encode_mp4 does not write; `matrix` is that of the conversion, `colorspace` that of the tag.
    content = io.BytesIO()
    with av.open(content, "w", format=options.pop("container", "mp4")) as output:
        turn, size = options.pop("turn", None), {"width": pixels.shape[1], "height": pixels.shape[0]}
        stream: Any = output.add_stream(codec, 10, {}, pix_fmt=pixel_format, **size, **options)
        if turn is not None:
            stream.set_display_rotation(*turn)
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
            format=pixel_format, dst_colorspace=matrix, dst_color_range=options.get("color_range")
        )
        output.mux([*stream.encode(frame), *stream.encode(None)])
    return content.getvalue()


def wav(samples: NDArray[np.int16], rate: int = 48_000) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as output:
        output.setparams((samples.shape[1], 2, rate, 0, "NONE", ""))
        output.writeframes(samples.tobytes())
    return content.getvalue()


SMALL: dict[str, bytes] = {
    "png": encode_image(picture(), "png"),
    "jpeg": encode_image(picture(), "jpeg"),
    "webp": encode_image(picture(), "webp"),
    "mp4": mp4(3, sound=tone(0.1)),
}
LONGER = [mp4(30), mp4(30, sound=tone(1.2))]


def real_files(folder: str, *stand_ins: str) -> list[bytes]:
    if not (assets := os.environ.get("COSMOS3_ASSETS")):
        return [SMALL[name] for name in stand_ins]
    # The long videos take gigabytes once decoded and would show nothing more.
    return [path.read_bytes() for path in Path(assets, folder).iterdir() if path.stat().st_size < 2_000_000]


def refuses(message: str, function: Callable[..., object], *arguments: Any, **options: Any) -> None:
    with pytest.raises(MediaError, match=message):
        function(*arguments, **options)


def distance(left: Pixels, right: Pixels | Colour) -> int:
    return int(np.abs(left.astype(int) - np.asarray(right)).max())


def test_real_images_decode(tmp_path: Path) -> None:
    for content in real_files("images", "png", "jpeg", "webp"):
        pixels = decode_image(content)
        assert pixels.dtype == np.uint8 and pixels.shape[2:] == (3,) and pixels.flags.writeable
        (path := tmp_path / "image").write_bytes(content)
        assert np.array_equal(pixels, decode_image(path)) and np.array_equal(pixels, decode_image(str(path)))


@pytest.mark.parametrize(("name", "error"), [("png", 0), ("jpeg", 6), ("webp", 12)])
def test_image_round_trip(name: Literal["png", "jpeg", "webp"], error: int) -> None:
    content = encode_image(picture(), name)
    assert Image.open(io.BytesIO(content)).format == name.upper()
    assert distance(decode_image(content), picture()) <= error
    assert encode_image(picture(), name) == content
    assert name == "png" or len(encode_image(picture(), name, 20)) < len(content)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif, content = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(content, "PNG", exif=exif)
    mirrored = picture()[:, ::-1] if orientation in (2, 4, 5, 7) else picture()
    turned = np.rot90(mirrored, (0, 0, 2, 2, 1, -1, -1, 1)[orientation - 1])
    assert np.array_equal(decode_image(content.getvalue()), turned)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "I;16B"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    ramp = np.arange(0, 256, 51, dtype=np.uint8)[None].repeat(4, 0)
    image = Image.fromarray(ramp).convert("RGB")
    if mode.startswith("I"):
        image = Image.fromarray((ramp * np.uint16(256) + 77).astype(">u2" if mode == "I;16B" else "<u2"))
    elif mode.endswith("A"):
        image.putalpha(7)
    content = io.BytesIO()
    image.convert(mode).save(content, "TIFF" if mode in ("CMYK", "I;16B") else "PNG")
    # Alpha is dropped, so that it does not darken what it covers.
    assert np.array_equal(decode_image(content.getvalue()), ramp[..., None].repeat(3, -1))


def test_animation_gives_its_first_image() -> None:
    content, later = io.BytesIO(), Image.fromarray(flat((0, 0, 255)))
    Image.fromarray(flat((255, 0, 0))).save(content, "GIF", save_all=True, append_images=[later])
    assert np.array_equal(decode_image(content.getvalue()), flat((255, 0, 0)))
    assert decode_video(content.getvalue()).frames[:, 0, 0].tolist() == [[255, 0, 0], [0, 0, 255]]


@pytest.mark.parametrize("decode", DECODERS)
def test_what_is_not_media_is_refused(decode: Callable[[bytes | Path], object], tmp_path: Path) -> None:
    for content in (b"", b"not media at all " * 50, bytes(5000), b"P6 1 1 255 abc", *PLAYLISTS):
        refuses(f"from {len(content)} bytes: .*expected a complete", decode, content)
    for path in (tmp_path / "missing.mp4", tmp_path):
        refuses(str(path), decode, path)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.8])
def test_files_cut_short_are_refused(part: float) -> None:
    for decode, contents in zip(DECODERS, (list(SMALL.values())[:3], LONGER, LONGER[1:]), strict=True):
        for content in contents:
            refuses("expected a complete", decode, content[: int(len(content) * part)])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(SMALL)), data=st.data())
def test_damage_gives_a_result_or_a_media_error(name: str, data: st.DataObject) -> None:
    content = bytearray(SMALL[name])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for decode in DECODERS:
        with suppress(MediaError):
            decode(bytes(content))


def test_wrong_kinds_are_refused() -> None:
    refuses("no sound track", decode_audio, LONGER[0])
    refuses("no video track", decode_video, wav(np.zeros((100, 1), np.int16)))
    for decode, name in ((decode_video, "png"), (decode_audio, "png"), (decode_image, "mp4")):
        refuses("expected a complete", decode, SMALL[name])


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (20_000, 9_000)).save(content := io.BytesIO(), "PNG")
    # Only the header is left, so that nothing but the size can be what is refused.
    refuses("178956970", decode_image, content.getvalue()[:60])
    two_sizes = b"".join(other_video(picture(0, side, side), container="mpegts") for side in (48, 96))
    refuses("use one size", decode_video, two_sizes)
    monkeypatch.setattr(media, "MAX_PIXELS", 48 * 48)
    refuses("Invalid data", decode_video, two_sizes)
    for decode, name in ((decode_image, "png"), (decode_video, "mp4")):
        refuses("64x48 is above the limit of 2304 pixels", decode, SMALL[name])


def test_encode_image_refuses() -> None:
    for pixels in (picture()[..., 0], picture().astype(np.float32), picture()[:0], picture()[..., :2]):
        refuses(r"use uint8 \(height, width, 3\)", encode_image, pixels, "png")
    refuses("use 'png'", encode_image, picture(), "gif")
    refuses("quality is 0; use 1 to 100", encode_image, picture(), "jpeg", 0)
    refuses("longer side is 20000; use 1 to 16383", encode_image, np.zeros((1, 20_000, 3), np.uint8), "webp")


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


@pytest.mark.parametrize(("channels", "rate"), [(1, 48_000), (2, 44_100), (2, 8_000), (3, 6_000), (6, 9_600)])
def test_sound_becomes_stereo_at_the_rate_asked_for(channels: int, rate: int) -> None:
    content = wav(np.full((rate, channels), 16_384, np.int16), rate)
    for wanted in (48_000, 24_000):
        decoded = decode_audio(content, wanted)
        assert decoded.shape[0] == 2 and abs(decoded.shape[1] - wanted) <= 2
        assert np.abs(decoded[:, 1000:-1000] - 0.5).max() < 0.01
    assert np.abs(decode_audio(mp4(10, sound=np.sign(tone(0.5)) * np.float32(3)))).max() <= 1
    refuses("sampling_rate is 0", decode_audio, content, 0)
    refuses("the file's sampling rate is 1; use 1000", decode_audio, wav(np.zeros((99, 2), np.int16), 1))


def test_bytes_are_the_same_in_another_process_on_one_core() -> None:
    # Tall enough for x264 to use several threads.
    content = mp4(9, sound=tone(0.3), height=480)
    assert content == mp4(9, sound=tone(0.3), height=480)
    script = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from tests.core.media.test_files import *; print(zlib.crc32(mp4(9, sound=tone(0.3), height=480)))"
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
