"""The settings of the shared Decoder."""

from __future__ import annotations

from deployments.settings.base import StageSettings
from deployments.settings.decoding import DecodingSettings


class DecoderSettings(StageSettings):
    """The shared Decoder: any checkpoint with the codecs to decode with.

    Attributes:
        checkpoint, revision: see `ModelSettings`.
        decoding: how it decodes soundtracks that requests carry.
    """

    checkpoint: str
    revision: str | None = None
    decoding: DecodingSettings = DecodingSettings(processes=1)
