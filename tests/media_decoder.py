"""The processes that decode media for all tests of a session that need some."""

from __future__ import annotations

from functools import cache

from deployments.decoding.decoder import MediaDecoder
from deployments.settings.decoding import DecodingSettings


@cache
def media_decoder() -> MediaDecoder:
    """A decoder of two confined processes, started at their first use."""
    return MediaDecoder(DecodingSettings(memory_bytes=2**30))
