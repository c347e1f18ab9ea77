"""What Jobs asks of a model's Reasoner before a generation with `upsample_prompt`, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosmos3_core.errors import CosmosError
from cosmos3_core.geometry import Canvas
from cosmos3_core.prompt import ClipFacts

if TYPE_CHECKING:
    from cosmos3_core.request import GenerationRequest
    from cosmos3_core.resolving.resolved import ResolvedRequest

FIELD = "upsample_prompt"
"""The field of requests that asks for it."""


@dataclass(frozen=True)
class UpsampleCall:
    """A plain prompt, and what is generated from it; as JSON it is part of a job's request.

    Attributes:
        mode: as in `cosmos3_core.modes`.
        prompt: the client's words.
        width, height: of the output, in pixels.
        num_frames, fps: of the output; one frame is an image.
        seed: of the Reasoner's sampling.
        image: URI of the picture that a video starts with; None where it starts with none.
    """

    mode: str
    prompt: str
    width: int
    height: int
    num_frames: int
    fps: float
    seed: int
    image: str | None = None

    @classmethod
    def of(cls, request: GenerationRequest, resolved: ResolvedRequest, image: str | None) -> UpsampleCall:
        """The call for a request. All images of one request have the seed of the first, and so one prompt."""
        return cls(
            mode=request.mode.value,
            prompt=request.prompt,
            width=resolved.canvas.width,
            height=resolved.canvas.height,
            num_frames=resolved.num_frames,
            fps=resolved.fps,
            seed=resolved.sampling.seed,
            image=image,
        )

    @property
    def clip(self) -> ClipFacts:
        """What the prompt says about the output."""
        return ClipFacts(Canvas(self.width, self.height), self.num_frames, self.fps)


@dataclass(frozen=True)
class UpsampledPrompt:
    """The structured prompt that a Reasoner wrote; as JSON it is kept with the job.

    Attributes:
        prompt: a JSON object as text.
        template_sha256: hash of the template that the Reasoner was asked with.
        seconds: how long the request waited for it.
    """

    prompt: str
    template_sha256: str
    seconds: float


class UpsamplingFailed(CosmosError):
    """There is no structured prompt; the message says why.

    Attributes:
        again: whether the same request may succeed later.
    """

    def __init__(self, message: str, again: bool) -> None:
        super().__init__(message)
        self.again = again

    def __reduce__(self) -> tuple[type[UpsamplingFailed], tuple[str, bool]]:
        return type(self), (str(self), self.again)
