"""How media reach vLLM: as embeddings made by our Encoder, or as pixels that vLLM's own ViT is to read.

vLLM asks a "media connector" for all media that a request names. Ours knows the media of running requests and nothing
else, so no request can make the engine fetch anything, even if the ingress accepted it. It hands out what the
Encoder's own readers make of a file, so that both ways see the same pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor
from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY, MediaConnector, MediaWithBytes

from cosmos3_core.media.clips import SampledFrames
from deployments.wire.chat_media import with_parts
from deployments.wire.reasoner_calls import AttachedMedium
from deployments.wire.visual_input import VisualReading

CONNECTOR = "cosmos3"
# What the engine tells the connector, among vLLM's settings of how videos are read.
FRAMES_PER_PATCH = "frames_per_patch"
Value = TypeVar("Value")
_embeddings: dict[str, Tensor] = {}


@dataclass(frozen=True)
class _Decoded:
    """The pixels of a medium, and the key by which vLLM's caches know them."""

    clip: SampledFrames
    key: str


_media: dict[str, _Decoded] = {}


@dataclass(frozen=True)
class Embedded:
    """The embeddings of an image, or of a video whose patches are shown at `timestamps` (seconds)."""

    embeddings: Tensor
    grid: tuple[int, int, int]
    timestamps: tuple[float, ...] | None


@MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR)
class AttachedMediaConnector(MediaConnector):
    """Hands out the media and the embeddings of running requests, and fetches nothing."""

    def load_from_url(self, url: str, media_io: Any, **options: Any) -> Any:
        """Refuse every URL.

        Raises:
            ValueError: always; media come with their requests.
        """
        raise ValueError("media are accepted as base64 data URIs only")

    async def load_from_url_async(self, url: str, media_io: Any, **options: Any) -> Any:
        """Refuse every URL."""
        return self.load_from_url(url, media_io, **options)

    def fetch_image(self, image_url: str, **options: Any) -> Any:
        """The pixels of an image.

        Raises:
            ValueError: no running request has it.
        """
        medium = _of(_media, image_url)
        return MediaWithBytes(Image.fromarray(medium.clip.frames[0]), medium.key.encode())

    async def fetch_image_async(self, image_url: str, **options: Any) -> Any:
        """The pixels of an image."""
        return self.fetch_image(image_url)

    def fetch_video(self, video_url: str, **options: Any) -> Any:
        """The frames of a video that are read, and what vLLM wants to know of them.

        Raises:
            ValueError: no running request has it.
        """
        frames_per_patch = self.media_io_kwargs.get("video", {}).get(FRAMES_PER_PATCH, 1)
        return _sampled(_of(_media, video_url), frames_per_patch)

    async def fetch_video_async(self, video_url: str, **options: Any) -> Any:
        """The frames of a video."""
        return self.fetch_video(video_url)

    def fetch_image_embedding(self, data: str) -> Tensor:
        """The embeddings of a running request; a client's own data is never unpickled.

        Raises:
            ValueError: no running request has them.
        """
        tensor = _of(_embeddings, data)
        # vLLM reads them once, before it generates, and they are large.
        del _embeddings[data]
        return tensor

    async def fetch_image_embedding_async(self, data: str) -> Tensor:
        """The embeddings of a running request."""
        return self.fetch_image_embedding(data)

    def fetch_video_embedding(self, data: str) -> Tensor:
        """The embeddings of a running request."""
        return self.fetch_image_embedding(data)

    async def fetch_video_embedding_async(self, data: str) -> Tensor:
        """The embeddings of a running request."""
        return self.fetch_image_embedding(data)

    def fetch_audio_embedding(self, data: str) -> Tensor:
        """The embeddings of a running request, of which none are audio."""
        return self.fetch_image_embedding(data)

    async def fetch_audio_embedding_async(self, data: str) -> Tensor:
        """The embeddings of a running request, of which none are audio."""
        return self.fetch_image_embedding(data)


def _of(known: dict[str, Value], name: str) -> Value:
    if name not in known:
        raise ValueError("only media that come with the request are read; send image_url or video_url with a data URI")
    return known[name]


def _sampled(medium: _Decoded, frames_per_patch: int) -> MediaWithBytes[Any]:
    """A video as vLLM's own loaders return it, sampled for good."""
    clip = medium.clip
    frames, indices = clip.frames, clip.indices
    if len(indices) == 1:
        # A processor that takes frames by twos refuses one.
        frames, indices = np.repeat(frames, frames_per_patch, axis=0), indices * frames_per_patch
    metadata = {
        "total_num_frames": clip.total,
        "fps": clip.fps,
        "duration": clip.total / clip.fps,
        "video_backend": CONNECTOR,
        "frames_indices": indices,
        "do_sample_frames": False,
    }
    # vLLM's caches go by these bytes.
    return MediaWithBytes((frames, metadata), medium.key.encode())


@contextmanager
def with_pixels(
    body: dict[str, Any], media: Sequence[AttachedMedium], clips: Sequence[SampledFrames]
) -> Iterator[dict[str, Any]]:
    """The body with which vLLM's own ViT reads the media of a request, while the block runs."""
    # One request reads all of its media alike.
    reading = media[0].visual.reading if media else VisualReading()
    edges = {"shortest_edge": reading.least_pixels, "longest_edge": reading.most_pixels}
    size = {edge: pixels for edge, pixels in edges.items() if pixels is not None}
    decoded = (_Decoded(clip, medium.visual.key) for medium, clip in zip(media, clips, strict=True))
    _media.update(zip((medium.name for medium in media), decoded, strict=True))
    try:
        yield {**body, "mm_processor_kwargs": {"size": size}} if size else body
    finally:
        for medium in media:
            del _media[medium.name]


@contextmanager
def with_embeddings(
    body: dict[str, Any], media: Sequence[AttachedMedium], embedded: Sequence[Embedded]
) -> Iterator[dict[str, Any]]:
    """The body of a chat with which vLLM takes embeddings instead of the media, while the block runs."""
    parts = {medium.name: _part(medium, one) for medium, one in zip(media, embedded, strict=True)}
    _embeddings.update((medium.name, one.embeddings) for medium, one in zip(media, embedded, strict=True))
    # Whoever reads them is the last to hold them.
    del embedded
    try:
        yield with_parts(body, parts) if parts else body
    finally:
        for name in parts:
            _embeddings.pop(name, None)


def _part(medium: AttachedMedium, embedded: Embedded) -> dict[str, Any]:
    """A content part. Its `uuid` is what vLLM's caches go by, which otherwise hash the embeddings."""
    kind = "image" if embedded.timestamps is None else "video"
    value: dict[str, Any] = {f"{kind}_embeds": medium.name, f"{kind}_grid_thw": list(embedded.grid)}
    if embedded.timestamps is not None:
        value["timestamps"] = list(embedded.timestamps)
    return {"type": f"{kind}_embeds", f"{kind}_embeds": value, "uuid": medium.visual.key}
