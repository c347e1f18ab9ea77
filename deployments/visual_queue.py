"""The ViT behind a queue: each medium is embedded once, and small images that wait are embedded together."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.codecs.vision import PixelBounds, VisionEncoder, VisualEmbeddings
from cosmos3_core.media.frame_sampling import timestamps
from cosmos3_core.media.visual import read_frames, read_still, read_video
from deployments.compute import ComputeThread
from deployments.wire.handoff import publish
from deployments.wire.messages import EmbeddingsReference
from deployments.wire.visual_input import VisualInput, VisualKind

MAX_BATCH_FILES = 16
MAX_BATCH_PIXELS = 2**20
"""Images share a pass of the ViT while their pixels stay below this; beyond it a pass gains nothing by sharing."""

Outcome = EmbeddingsReference | Exception


@dataclass
class _Waiting:
    """A medium that waits for the ViT.

    Attributes:
        visual: the medium.
        result: its embeddings, or what is wrong with it.
        callers: how many wait for it; without any it is left out.
    """

    visual: VisualInput
    result: asyncio.Future[EmbeddingsReference]
    callers: int = 0


class VisualQueue:
    """Embeds images and videos, and keeps embeddings within a budget.

    Attributes:
        cache: embeddings by the media's keys.
        passes: passes of the ViT.
        embedded: media that went through it.
    """

    def __init__(self, compute: ComputeThread, vision: Callable[[], VisionEncoder], budget: int) -> None:
        self.cache: ByteCache[str, EmbeddingsReference] = ByteCache(budget, lambda entry: entry.embeddings.nbytes)
        self.passes = self.embedded = 0
        self._compute = compute
        self._vision = vision
        self._waiting: dict[str, _Waiting] = {}
        self._queue: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

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
            entry = _Waiting(visual, asyncio.get_running_loop().create_future())
            self._waiting[visual.key] = entry
            self._queue.append(entry)
        entry.callers += 1
        self._work()
        try:
            return await asyncio.shield(entry.result)
        finally:
            entry.callers -= 1

    def _work(self) -> None:
        if self._worker is None or self._worker.done():
            # In a context of its own, because Serve cancels a task of a request's context together with that request.
            self._worker = asyncio.create_task(self._drain(), context=contextvars.Context())

    async def _drain(self) -> None:
        while self._queue:
            batch = self._next()
            try:
                outcomes = await self._compute.run(self._embed, [entry.visual for entry in batch])
            except Exception as error:
                outcomes = [error] * len(batch)
            for entry, outcome in zip(batch, outcomes, strict=True):
                self._finish(entry, outcome)

    def _next(self) -> list[_Waiting]:
        """The first medium that somebody waits for; with an image come further images that are read alike."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < MAX_BATCH_FILES:
            entry = self._queue[0]
            if entry.callers and batch and not _alike(entry.visual, batch[0].visual):
                break
            self._queue.pop(0)
            if entry.callers:
                batch.append(entry)
            else:
                del self._waiting[entry.visual.key]
                entry.result.cancel()
        return batch

    def _finish(self, entry: _Waiting, outcome: Outcome) -> None:
        del self._waiting[entry.visual.key]
        if isinstance(outcome, EmbeddingsReference):
            self.cache.put(entry.visual.key, outcome)
            entry.result.set_result(outcome)
        elif entry.callers:
            entry.result.set_exception(outcome)
        else:
            entry.result.cancel()

    def _embed(self, visuals: Sequence[VisualInput]) -> list[Outcome]:
        """Embed one video, or images that are read alike; what is wrong with one stops no other."""
        if visuals and visuals[0].kind is not VisualKind.IMAGE:
            return [self._embed_video(visuals[0])]
        outcomes: dict[str, Outcome] = {}
        group: dict[str, NDArray[np.uint8]] = {}
        for visual in visuals:
            try:
                image = read_still(visual.files[0])
            except Exception as error:
                outcomes[visual.key] = error
                continue
            if group and sum(one.size // 3 for one in (*group.values(), image)) > MAX_BATCH_PIXELS:
                outcomes |= self._embed_images(group, _bounds(visual))
                group = {}
            group[visual.key] = image
        if group:
            outcomes |= self._embed_images(group, _bounds(visuals[0]))
        return [outcomes[visual.key] for visual in visuals]

    def _embed_images(self, images: dict[str, NDArray[np.uint8]], bounds: PixelBounds) -> dict[str, Outcome]:
        self.passes += 1
        self.embedded += len(images)
        try:
            results = self._vision().encode_together(list(images.values()), bounds)
        except Exception as error:
            return dict.fromkeys(images, error)
        return {key: _reference(key, result, None) for key, result in zip(images, results, strict=True)}

    def _embed_video(self, visual: VisualInput) -> Outcome:
        try:
            if visual.kind is VisualKind.FRAMES:
                clip = read_frames(visual.files, visual.reading.chosen_fps)
            else:
                clip = read_video(visual.files[0], visual.reading.sampling)
            self.passes += 1
            self.embedded += 1
            result = self._vision().encode_video(clip.frames, _bounds(visual))
        except Exception as error:
            return error
        times = timestamps(clip.indices, clip.fps, self._vision().frames_per_patch)
        return _reference(visual.key, result, tuple(times))


def _alike(visual: VisualInput, first: VisualInput) -> bool:
    images = visual.kind is VisualKind.IMAGE and first.kind is VisualKind.IMAGE
    return images and visual.reading == first.reading


def _bounds(visual: VisualInput) -> PixelBounds:
    return PixelBounds(visual.reading.least_pixels, visual.reading.most_pixels)


def _reference(key: str, result: VisualEmbeddings, times: tuple[float, ...] | None) -> EmbeddingsReference:
    return EmbeddingsReference(key, publish(result.embeddings), result.grid, times)
