"""The ViT behind a queue: each medium is embedded once, and small images that wait are embedded together.

Files are decoded in processes of their own, so that a long video holds up neither images nor generations.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.codecs.vision import PixelBounds, VisionEncoder, VisualEmbeddings
from cosmos3_core.media.clips import SampledFrames
from cosmos3_core.media.frame_sampling import timestamps
from deployments.background import Background, in_background
from deployments.compute import ComputeThread
from deployments.decoding.decoder import MediaDecoder
from deployments.wire.handoff import publish
from deployments.wire.messages import EmbeddingsReference
from deployments.wire.visual_input import VisualInput, VisualKind

MAX_BATCH_FILES = 16
MAX_BATCH_PIXELS = 2**20
"""Images share a pass of the ViT while their pixels stay below this; beyond it a pass gains nothing by sharing."""
MAX_DECODED_VIDEOS = 1
"""Videos that are decoded, or held decoded, at once: images go by them in the other decoding process."""


@dataclass(eq=False)
class _Waiting:
    """A medium that is to be embedded.

    Attributes:
        visual: the medium.
        result: its embeddings, or what is wrong with it.
        callers: how many wait for it; without any it is left out.
        pixels: what was decoded.
    """

    visual: VisualInput
    result: asyncio.Future[EmbeddingsReference]
    callers: int = 0
    pixels: SampledFrames | None = None


class VisualQueue:
    """Embeds images and videos, and keeps embeddings within a budget.

    Attributes:
        cache: embeddings by the media's keys.
        passes: passes of the ViT.
        embedded: media that went through it.
    """

    def __init__(
        self, compute: ComputeThread, decoder: MediaDecoder, vision: Callable[[], VisionEncoder], budget: int
    ) -> None:
        self.cache: ByteCache[str, EmbeddingsReference] = ByteCache(budget, lambda entry: entry.embeddings.nbytes)
        self.passes = self.embedded = 0
        self._compute = compute
        self._vision = vision
        self._waiting: dict[str, _Waiting] = {}
        self._tasks = Background()
        self._reading: set[asyncio.Task[None]] = set()
        self._queue: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._decoder = decoder
        self._videos = asyncio.Semaphore(MAX_DECODED_VIDEOS)

    async def embed(self, visual: VisualInput) -> EmbeddingsReference:
        """The embeddings of a medium.

        Raises:
            MediaError: it cannot be decoded.
        """
        known = self.cache.get(visual.key)
        if known is not None:
            return known
        entry = self._waiting.get(visual.key)
        if entry is None:
            entry = self._waiting[visual.key] = _Waiting(visual, asyncio.get_running_loop().create_future())
            self._read(entry)
        entry.callers += 1
        try:
            return await asyncio.shield(entry.result)
        finally:
            entry.callers -= 1

    # Decoding

    def _read(self, entry: _Waiting) -> None:
        if entry.visual.kind is VisualKind.IMAGE:
            task = self._tasks.start(self._decode(entry))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        else:
            self._tasks.start(self._decode_video(entry))

    async def _decode_video(self, entry: _Waiting) -> None:
        async with self._videos:
            await self._decode(entry)
            await asyncio.wait([entry.result])

    async def _decode(self, entry: _Waiting) -> None:
        if not entry.callers:
            self._leave(entry)
            return
        decoder = self._decoder
        try:
            entry.pixels = await decoder.apart(decoder.visual, entry.visual, wanted=lambda: entry.callers > 0)
        except Exception as error:
            self._fail(entry, error)
            return
        self._queue.append(entry)
        if self._worker is None or self._worker.done():
            self._worker = in_background(self._drain())

    # Embedding

    async def _drain(self) -> None:
        while self._queue:
            if reading := set(self._reading):
                # Images that came together are embedded together.
                await asyncio.wait(reading)
            batch = self._next()
            if batch:
                await self._embed(batch)

    def _next(self) -> list[_Waiting]:
        """The first medium that somebody waits for; with an image come further images that are read alike."""
        batch: list[_Waiting] = []
        pixels = 0
        while self._queue and len(batch) < MAX_BATCH_FILES:
            entry = self._queue[0]
            pixels += self._pixels_of(entry)
            alike = not batch or (_alike(entry.visual, batch[0].visual) and pixels <= MAX_BATCH_PIXELS)
            if entry.callers and not alike:
                break
            self._queue.pop(0)
            if entry.callers:
                batch.append(entry)
            else:
                self._leave(entry)
        return batch

    def _pixels_of(self, entry: _Waiting) -> int:
        assert entry.pixels is not None
        return self._vision().pixels_read(entry.pixels.frames.size // 3, _bounds(entry.visual))

    async def _embed(self, batch: Sequence[_Waiting]) -> None:
        try:
            references = await self._compute.run(self._references, batch)
        except Exception as error:
            if len(batch) == 1:
                self._fail(batch[0], error)
            else:
                # One of them may be at fault.
                for entry in batch:
                    await self._embed([entry])
            return
        for entry, reference in zip(batch, references, strict=True):
            del self._waiting[entry.visual.key]
            self.cache.put(entry.visual.key, reference)
            entry.result.set_result(reference)

    def _references(self, batch: Sequence[_Waiting]) -> list[EmbeddingsReference]:
        """Embed one video, or images that are read alike."""
        vision, visual, pixels = self._vision(), batch[0].visual, batch[0].pixels
        assert pixels is not None
        self.passes += 1
        self.embedded += len(batch)
        if visual.kind is not VisualKind.IMAGE:
            result = vision.encode_video(pixels.frames, _bounds(visual))
            times = timestamps(pixels.indices, pixels.fps, vision.frames_per_patch)
            return [_reference(visual.key, result, tuple(times))]
        images = [entry.pixels.frames[0] for entry in batch if entry.pixels is not None]
        results = vision.encode_together(images, _bounds(visual))
        return [_reference(entry.visual.key, result, None) for entry, result in zip(batch, results, strict=True)]

    def _leave(self, entry: _Waiting) -> None:
        """Forget a medium that nobody waits for."""
        del self._waiting[entry.visual.key]
        entry.result.cancel()

    def _fail(self, entry: _Waiting, error: Exception) -> None:
        if entry.callers:
            del self._waiting[entry.visual.key]
            entry.result.set_exception(error)
        else:
            self._leave(entry)


def _alike(visual: VisualInput, first: VisualInput) -> bool:
    images = visual.kind is VisualKind.IMAGE and first.kind is VisualKind.IMAGE
    return images and visual.reading == first.reading


def _bounds(visual: VisualInput) -> PixelBounds:
    return PixelBounds(visual.reading.least_pixels, visual.reading.most_pixels)


def _reference(key: str, result: VisualEmbeddings, times: tuple[float, ...] | None) -> EmbeddingsReference:
    return EmbeddingsReference(key, publish(result.embeddings), result.grid, times)
