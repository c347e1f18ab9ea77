"""The controls of transfer: videos whose structure a generated video follows (spec 9.4).

What kinds there are, what each is made of, and the numbers that apply when a request names none. `codecs.control`
computes those that can be computed from a video.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class ControlKind(StrEnum):
    """What a control shows. Their order is that of the controls in the sequence."""

    EDGE = "edge"
    BLUR = "blur"
    DEPTH = "depth"
    SEG = "seg"
    WSM = "wsm"
    """A world-scenario map: lanes, boxes and signs of a drive."""


class Strength(StrEnum):
    """How strongly an edge or blur control simplifies the video that it is computed from."""

    NONE = "none"
    VERY_LOW = "very_low"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    VERY_HIGH = "very_high"


COMPUTED_KINDS = (ControlKind.EDGE, ControlKind.BLUR)
"""The kinds that can be computed from a video; the others have to be given."""


class Control(BaseModel):
    """One control of a request.

    Attributes:
        kind: what it shows.
        weight: its share of what the video follows, relative to the other controls; 0 leaves it out.
        strength: how strongly it simplifies the request's video, where it is computed from that.
        video: the control itself: path, encoded bytes of a video or an image, or uint8
            `[frames, height, width, 3]`; None computes it from the request's video.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    kind: ControlKind
    weight: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1.0
    strength: Strength = Strength.MEDIUM
    video: Any = None


@dataclass(frozen=True)
class ControlDefaults:
    """Numbers that apply when a request with one control of a kind names none (spec 9.4).

    Attributes:
        control_guidance: how strongly the controls pull.
        guidance_scale: of the text.
        chunk_frames: frames of a part of a long video.
        fps: of the video, where the controls are pictures and have none; None takes that of other videos.
    """

    control_guidance: float = 1.5
    guidance_scale: float = 3.0
    chunk_frames: int = 93
    fps: float | None = None


_DEFAULTS = {
    ControlKind.SEG: ControlDefaults(control_guidance=2.0),
    ControlKind.WSM: ControlDefaults(control_guidance=3.0, guidance_scale=1.0, chunk_frames=101, fps=10.0),
}


def control_defaults(kinds: tuple[ControlKind, ...]) -> ControlDefaults:
    """The numbers for some controls: those of the kind where there is one, those of edge where there are several."""
    return _DEFAULTS.get(kinds[0], ControlDefaults()) if len(kinds) == 1 else ControlDefaults()


def directive(kinds: tuple[ControlKind, ...]) -> str:
    """The sentence that tells the model which controls to follow (spec 9.4)."""
    named = ", ".join(kinds)
    return (
        f"Follow the {named} control video precisely: shape, contour, silhouette, position, and motion of every "
        f"visible structure must align with the {named} signal at every frame."
    )
