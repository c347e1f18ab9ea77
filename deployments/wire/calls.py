"""A generation as the graph passes it on and the job store keeps it: fields as JSON, and media by URI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from cosmos3_core.guardrails.record import GuardrailCheck
from cosmos3_core.media.checks import DEFAULT_QUALITY
from cosmos3_core.request import GenerationRequest
from deployments.wire.media_store import read_media
from deployments.wire.messages import ArrayReference, ClipDescription, EncodedMessage, LatentsMessage
from deployments.wire.service_class import ServiceClass
from deployments.wire.upsampling import UpsampleCall

FileFormat = Literal["mp4", "png", "jpeg", "webp"]


@dataclass(frozen=True)
class GenerationCall:
    """A validated request to the Encoder.

    Attributes:
        job_id: the job's id, for logs and for cancelling.
        fields: the fields that the client gave, as JSON values.
        media: the URI of each media field.
        upsample: what a Reasoner is asked first, for a prompt to use instead of that in `fields`.
    """

    job_id: str
    fields: dict[str, Any]
    media: dict[str, str]
    upsample: UpsampleCall | None = None

    @classmethod
    def of(cls, job_id: str, request: GenerationRequest, media: dict[str, str]) -> GenerationCall:
        """The call for a request whose media are already stored at the given URIs."""
        return cls(job_id, request.to_fields(), media)

    def with_prompt(self, prompt: str) -> GenerationCall:
        """The call with the prompt that a Reasoner wrote."""
        return replace(self, fields=self.fields | {"prompt": prompt}, upsample=None)

    def to_request(self) -> GenerationRequest:
        """The request again, with its media read from the store; it blocks.

        Raises:
            FileNotFoundError: a medium is gone.
        """
        return GenerationRequest.of_fields(self.fields, {name: read_media(uri) for name, uri in self.media.items()})


@dataclass(frozen=True)
class DenoiseCall:
    """An encoded request to a Generator.

    Attributes:
        job_id: the job's id, also for logs.
        message: what the Encoder made.
        service_class: how urgent the request is.
        snapshot: the URI where the state is saved; None saves none.
        resume: whether a snapshot may exist already, to go on from.
        attempt: the number of this try of the job, counted from 1.
        caller: the handle of the actor that reads the stream; None if that is no actor.
        keep: whether the finished state is saved too, because further parts of the request follow.
    """

    job_id: str
    message: EncodedMessage
    service_class: ServiceClass = ServiceClass.STANDARD
    snapshot: str | None = None
    resume: bool = False
    attempt: int = 1
    caller: Any = None
    keep: bool = False


@dataclass(frozen=True)
class Preview:
    """A small JPEG preview of a running generation's result, after some steps."""

    step: int
    jpeg: bytes


@dataclass(frozen=True)
class DecodeCall:
    """Latents for the Decoder.

    Attributes:
        job_id: the job's id, for logs.
        latents, clip: what to decode, and into what.
        target: the URI of the file to write.
        format: the format of that file.
        quality: 1 to 100, for JPEG, WEBP and MP4, where 100 is lossless in the video's own colours.
        soundtrack: the URI of the file with the given soundtrack, where the clip has one.
        guardrails: the application whose guardrails check the frames; None checks none.
    """

    job_id: str
    latents: LatentsMessage
    clip: ClipDescription
    target: str
    format: FileFormat
    quality: int = DEFAULT_QUALITY
    soundtrack: str | None = None
    guardrails: str | None = None


@dataclass(frozen=True)
class JoinCall:
    """Decoded parts of one video for the Decoder.

    Attributes:
        job_id: the job's id, for logs.
        parts: the URIs of the parts' files, in order.
        target: the URI of the file to write.
    """

    job_id: str
    parts: tuple[str, ...]
    target: str


@dataclass(frozen=True)
class DecodedFile:
    """What the Decoder wrote.

    Attributes:
        uri, nbytes: the URI and the size of the file.
        num_frames: the number of frames in the file.
        action: the predicted actions, in the form that clients of other servers know; None if the mode predicts none.
        tail: its last frames, `[1, 3, frames, height, width]` in [-1, 1], where another part starts with them.
        checks: what guardrails said of its frames.
    """

    uri: str
    nbytes: int
    num_frames: int
    action: dict[str, Any] | None
    tail: ArrayReference | None = None
    checks: tuple[GuardrailCheck, ...] = ()
