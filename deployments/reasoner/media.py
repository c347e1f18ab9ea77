"""How images reach vLLM: embeddings made by our Encoder under `vision: encoder`, data URIs under `vision: engine`.

vLLM asks a "media connector" for all media that a chat names. Ours has no access to the network, so no request can make
the engine fetch anything, even if the ingress accepted it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from vllm.multimodal.media import MEDIA_CONNECTOR_REGISTRY, MediaConnector

CONNECTOR = "cosmos3"
_embeddings: dict[str, Tensor] = {}


@MEDIA_CONNECTOR_REGISTRY.register(CONNECTOR)
class LocalMediaConnector(MediaConnector):
    """Reads data URIs and the embeddings registered for running requests, and fetches nothing."""

    def load_from_url(self, url: str, media_io: Any, **options: Any) -> Any:
        """Decode a data URI.

        Raises:
            ValueError: the URL has another scheme.
        """
        _require_data_uri(url)
        return super().load_from_url(url, media_io, **options)

    async def load_from_url_async(self, url: str, media_io: Any, **options: Any) -> Any:
        """Decode a data URI.

        Raises:
            ValueError: the URL has another scheme.
        """
        _require_data_uri(url)
        return await super().load_from_url_async(url, media_io, **options)

    def fetch_image_embedding(self, data: str) -> Tensor:
        """The embeddings registered under a name; a client's own data is never unpickled.

        Raises:
            ValueError: no embeddings are registered under it.
        """
        if data not in _embeddings:
            raise ValueError("image_embeds are not accepted from clients; send an image_url with a data URI")
        return _embeddings[data]

    async def fetch_image_embedding_async(self, data: str) -> Tensor:
        """The embeddings registered under a name."""
        return self.fetch_image_embedding(data)

    def fetch_audio_embedding(self, data: str) -> Tensor:
        """Refuse every name: only image embeddings are registered."""
        return self.fetch_image_embedding(data)

    async def fetch_audio_embedding_async(self, data: str) -> Tensor:
        """Refuse every name."""
        return self.fetch_image_embedding(data)

    def fetch_video_embedding(self, data: str) -> Tensor:
        """Refuse every name: only image embeddings are registered."""
        return self.fetch_image_embedding(data)

    async def fetch_video_embedding_async(self, data: str) -> Tensor:
        """Refuse every name."""
        return self.fetch_image_embedding(data)


def _require_data_uri(url: str) -> None:
    if url[:5].lower() != "data:":
        raise ValueError("media are accepted as base64 data URIs only")


@contextmanager
def registered(images: list[tuple[Tensor, tuple[int, int, int]]]) -> Iterator[list[dict[str, Any]]]:
    """Register embeddings while a request runs.

    Args:
        images: the embeddings and the grid of each image.

    Yields:
        The chat's content part for each image.
    """
    names = [uuid.uuid4().hex for _ in images]
    parts = []
    for name, (embeddings, grid) in zip(names, images, strict=True):
        _embeddings[name] = embeddings
        parts.append(
            {"type": "image_embeds", "image_embeds": {"image_embeds": name, "image_grid_thw": list(grid)}},
        )
    try:
        yield parts
    finally:
        for name in names:
            _embeddings.pop(name, None)
