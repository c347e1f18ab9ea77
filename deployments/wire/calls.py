"""A generation as the graph passes it on and the store keeps it: JSON fields, and media by URI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cosmos3_core.media.stills import DEFAULT_QUALITY
from cosmos3_core.request import GenerationRequest
from deployments.wire.media_store import read_media
from deployments.wire.messages import ClipDescription, EncodedMessage, LatentsMessage
from deployments.wire.service_class import ServiceClass

FileFormat = Literal["mp4", "png", "jpeg", "webp"]


@dataclass(frozen=True)
class GenerationCall:
    """A validated request on its way to the Encoder.

    Attributes:
        job_id: for logs and for cancelling.
        fields: the fields the client gave, JSON-able.
        media: URI per media field.
    """

    job_id: str
    fields: dict[str, Any]
    media: dict[str, str]

    @classmethod
    def of(cls, job_id: str, request: GenerationRequest, media: dict[str, str]) -> GenerationCall:
        """Take a request apart; its media are already stored at the URIs given."""
        return cls(job_id, request.to_fields(), media)

    def to_request(self) -> GenerationRequest:
        """The request again, its media read; it blocks.

        Raises:
            FileNotFoundError: a medium is gone.
        """
        given: dict[str, Any] = self.fields | {name: read_media(uri) for name, uri in self.media.items()}
        return GenerationRequest(**given)


@dataclass(frozen=True)
class DenoiseCall:
    """An encoded request on its way to a Generator.

    Attributes:
        job_id: for logs.
        message: what the Encoder made.
        service_class: how urgent it is.
        snapshot: URI where the state is kept; None keeps none.
        resume: whether there may be one already, to be taken up.
        attempt: counts up with each try of the job.
        driver: handle of the actor that listens; None where that is no actor.
    """

    job_id: str
    message: EncodedMessage
    service_class: ServiceClass = ServiceClass.STANDARD
    snapshot: str | None = None
    resume: bool = False
    attempt: int = 1
    driver: Any = None


@dataclass(frozen=True)
class Preview:
    """A small JPEG of what a running generation is about to become, after some steps."""

    step: int
    jpeg: bytes


@dataclass(frozen=True)
class DecodeCall:
    """Latents on their way to the Decoder.

    Attributes:
        job_id: for logs.
        latents, clip: what to decode and into what.
        target: URI of the file to write.
        format: of that file.
        quality: 1 to 100, for JPEG, WEBP and MP4, where 100 is lossless in the video's own colours.
    """

    job_id: str
    latents: LatentsMessage
    clip: ClipDescription
    target: str
    format: FileFormat
    quality: int = DEFAULT_QUALITY


@dataclass(frozen=True)
class DecodedFile:
    """What the Decoder wrote.

    Attributes:
        uri, nbytes: where and how large.
        num_frames: in the file.
        action: predicted actions as clients of other servers know them, where the mode predicts any.
    """

    uri: str
    nbytes: int
    num_frames: int
    action: dict[str, Any] | None
