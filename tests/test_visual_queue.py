"""The ViT behind its queue: each medium once, small images together, and what is wrong with one stops no other."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from PIL import Image

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.codecs.vision import VisionEncoder
from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.frame_sampling import FrameSampling
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.media.stills import decode_image, encode_image
from cosmos3_core.settings import ExecutionSettings
from deployments.compute import ComputeThread
from deployments.settings.model import EncoderSettings
from deployments.visual_queue import MAX_BATCH_PIXELS, VisualQueue
from deployments.wire.messages import EmbeddingsReference
from deployments.wire.visual_input import VisualInput, VisualKind, VisualReading
from tests.media_decoder import media_decoder
from tests.parity.cases import drifting, picture

READING = VisualReading()


@pytest.fixture(autouse=True)
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: value)


@pytest.fixture(scope="module")
def vision(nano: Path) -> VisionEncoder:
    return VisionEncoder.from_checkpoint(Checkpoint.find(str(nano)), ExecutionSettings(device="cpu", dtype="float32"))


@pytest.fixture
def queue(vision: VisionEncoder) -> VisualQueue:
    stage = EncoderSettings(device="cpu", dtype="float32", threads=torch.get_num_threads())
    return VisualQueue(ComputeThread(stage), media_decoder(), lambda: vision, budget=2**24)


def image(seed: int, height: int = 64, width: int = 96) -> VisualInput:
    png = encode_image(picture(height, width, seed=seed), "png")
    return VisualInput.of(VisualKind.IMAGE, (png,), READING)


def film(reading: VisualReading = READING) -> VisualInput:
    target = io.BytesIO()
    encode_mp4(target, drifting(24, (64, 96), seed=3), 8.0)
    return VisualInput.of(VisualKind.VIDEO, (target.getvalue(),), reading)


def embedded(queue: VisualQueue, *visuals: VisualInput) -> list[Any]:
    async def together() -> list[Any]:
        return await asyncio.gather(*map(queue.embed, visuals), return_exceptions=True)

    return asyncio.run(together())


def values(reference: EmbeddingsReference) -> torch.Tensor:
    return torch.from_numpy(np.asarray(reference.embeddings.reference))


def test_what_is_asked_for_at_once_is_embedded_once(queue: VisualQueue) -> None:
    found = embedded(queue, *[image(1)] * 5)
    assert len({id(one) for one in found}) == 1
    assert embedded(queue, image(1)) == [found[0]]
    assert (queue.passes, queue.embedded, queue.cache.hits) == (1, 1, 1)


def test_small_images_share_a_pass_and_stay_what_they_are_alone(queue: VisualQueue, vision: VisionEncoder) -> None:
    images = [image(seed, height=64 + 32 * (seed % 3)) for seed in range(6)]
    found = embedded(queue, *images)
    assert (queue.passes, queue.embedded) == (1, 6)
    for visual, one in zip(images, found, strict=True):
        alone = vision.encode(decode_image(visual.files[0]))
        assert one.grid == alone.grid and one.timestamps is None
        assert torch.allclose(values(one), alone.embeddings, atol=1e-5)


def test_large_images_do_not_share_a_pass(queue: VisualQueue) -> None:
    side = int(MAX_BATCH_PIXELS**0.5)
    embedded(queue, image(1, side, side), image(2, side, side))
    assert (queue.passes, queue.embedded) == (2, 2)


def test_what_a_request_has_enlarged_counts_as_large(queue: VisualQueue) -> None:
    large = VisualReading(least_pixels=MAX_BATCH_PIXELS, most_pixels=2 * MAX_BATCH_PIXELS)
    enlarged = [VisualInput.of(VisualKind.IMAGE, image(seed).files, large) for seed in range(2)]
    embedded(queue, *enlarged)
    assert (queue.passes, queue.embedded) == (2, 2)


def test_images_that_are_read_otherwise_do_not_share_a_pass(queue: VisualQueue) -> None:
    small = VisualInput.of(VisualKind.IMAGE, image(1).files, VisualReading(most_pixels=4096, least_pixels=1024))
    first, second = embedded(queue, image(1), small)
    assert first.grid != second.grid and queue.passes == 2


def test_a_broken_image_stops_no_other(queue: VisualQueue) -> None:
    broken = VisualInput.of(VisualKind.IMAGE, (b"no image",), READING)
    wrong, right = embedded(queue, broken, image(1))
    assert isinstance(wrong, MediaError) and isinstance(right, EmbeddingsReference)
    assert isinstance(embedded(queue, broken)[0], MediaError), "a failure is not kept"


@pytest.mark.parametrize(
    ("frames", "times"),
    [
        (None, None),
        (FrameSampling(fps=4.0), None),
        (FrameSampling(num_frames=2), [23 / 16]),
        (FrameSampling(num_frames=1), [0.0]),
    ],
)
def test_a_video_has_a_time_for_each_temporal_patch(
    frames: FrameSampling | None, times: list[float] | None, queue: VisualQueue
) -> None:
    (found,) = embedded(queue, film(VisualReading(frames)))
    chosen = (frames or FrameSampling()).indices(24, 8.0)
    assert found.grid[0] == len(found.timestamps) == -(-len(chosen) // 2)
    assert list(found.timestamps) == sorted(found.timestamps) and found.timestamps[-1] <= 23 / 8
    if times is not None:
        assert list(found.timestamps) == times


def test_frames_that_the_sender_chose(queue: VisualQueue) -> None:
    files = tuple(encode_image(frame, "png") for frame in drifting(4, (64, 96), seed=3))
    slow, fast = (
        VisualInput.of(VisualKind.FRAMES, files, VisualReading(frames)) for frames in (None, FrameSampling(fps=2.0))
    )
    first, second = embedded(queue, slow, fast)
    assert first.timestamps == (0.5, 2.5) and second.timestamps == (0.25, 1.25)
    assert torch.equal(values(first), values(second))
    uneven = VisualInput.of(VisualKind.FRAMES, (*files, image(1, 32, 32).files[0]), READING)
    assert "use one size" in str(embedded(queue, uneven)[0])


def test_a_transparent_image_is_seen_on_white(queue: VisualQueue) -> None:
    files = []
    for colour, alpha in ((0, 0), (255, 255)):
        pixels, file = np.full((64, 64, 4), colour, np.uint8), io.BytesIO()
        pixels[..., 3] = alpha
        Image.fromarray(pixels).save(file, "PNG")
        files.append(file.getvalue())
    hidden, white = embedded(queue, *(VisualInput.of(VisualKind.IMAGE, (file,), READING) for file in files))
    assert torch.equal(values(hidden), values(white))


def test_the_cache_stays_below_its_bound_and_eviction_changes_nothing(vision: VisionEncoder) -> None:
    stage = EncoderSettings(device="cpu", dtype="float32", threads=torch.get_num_threads())
    compute = ComputeThread(stage)
    roomy = VisualQueue(compute, media_decoder(), lambda: vision, budget=2**24)
    one = embedded(roomy, image(0))[0].embeddings.nbytes
    tight = VisualQueue(compute, media_decoder(), lambda: vision, budget=2 * one)
    for seed in (0, 1, 2, 3, 0, 1, 2, 3):
        (kept,), (again,) = embedded(roomy, image(seed)), embedded(tight, image(seed))
        assert torch.equal(values(kept), values(again))
        assert tight.cache.held <= tight.cache.budget
    assert (roomy.embedded, tight.embedded) == (4, 8)


def test_what_nobody_waits_for_any_more_is_left_out(queue: VisualQueue) -> None:
    async def left() -> None:
        first = asyncio.create_task(queue.embed(film()))
        await asyncio.sleep(0)
        others = [asyncio.create_task(queue.embed(image(seed))) for seed in range(3)]
        await asyncio.sleep(0)
        others[0].cancel()
        await asyncio.gather(first, *others, return_exceptions=True)

    asyncio.run(left())
    assert queue.embedded == 3

    async def left_while_it_is_decoded() -> None:
        task = asyncio.create_task(queue.embed(film(VisualReading(FrameSampling(fps=3.0)))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while queue._waiting:
            await asyncio.sleep(0.01)

    asyncio.run(left_while_it_is_decoded())
    assert queue.embedded == 3
    assert isinstance(embedded(queue, image(0))[0], EmbeddingsReference)
