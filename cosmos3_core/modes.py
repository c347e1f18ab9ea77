"""What can be generated: a row for each mode says what it takes, what is given and what comes out (spec 8.2, 9).

`inputs` reads the media a row asks for, `resolve` decides by it, the Encoder fits frames by it, and the ingress offers
the mode on the routes it names. A new mode is a row here, and its formulas where it has any of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

MediaKind = Literal["image", "video"]
"""The kinds of media that conditioning frames come from."""


class Output(StrEnum):
    """What a mode makes; defaults, captions and file formats go by it."""

    IMAGE = "image"
    VIDEO = "video"
    ROLLOUT = "rollout"
    """A video and the robot actions that belong to it."""


class SourceKind(StrEnum):
    """The conditioning media a mode needs; what it does not need it refuses."""

    NONE = "none"
    IMAGE = "image"
    VIDEO = "video"
    FRAME = "frame"
    """An image, or a video whose first frame is used."""
    CONTROLS = "controls"
    """Control videos, and a video where one of them is computed from it or the first frames are taken from it."""


class Clean(StrEnum):
    """Which latent frames come from the source; the others start as noise."""

    NONE = "none"
    FIRST = "first"
    CHOSEN = "chosen"
    """Those that `condition_frame_indexes_vision` names."""
    ALL = "all"
    OPENING = "opening"
    """The first frames of each part of a long video: those that the part before it ends with."""


class Given(StrEnum):
    """Vision items that are given whole and stand before what is generated (spec 9.4, 9.5)."""

    NONE = "none"
    CONTROLS = "controls"
    """The control videos, at the same times as the generated one."""
    PICTURE = "picture"
    """The picture that is edited, before the generated one in time."""


class Fit(StrEnum):
    """How source frames are brought onto the canvas (spec 8.5, 9.2)."""

    COVER = "cover"
    PAD = "pad"
    PRESET = "preset"
    """Covered or stretched, as the preset says."""


class Actions(StrEnum):
    """What a mode does with robot actions."""

    NONE = "none"
    GIVEN = "given"
    PREDICTED = "predicted"


class Route(StrEnum):
    """A topic of the HTTP surface that offers modes."""

    IMAGES = "images"
    EDITS = "edits"
    VIDEOS = "videos"
    ACTIONS = "actions"


@dataclass(frozen=True)
class ModeRow:
    """What a mode is.

    Attributes:
        aliases: names that other servers use for it.
        output: what it makes.
        source: the conditioning media it needs.
        purpose: what it does with them, as a refusal says it.
        gives: what comes out, as the documentation says it.
        routes: where it is offered, and which references imply it there when the request names no mode.
        clean: the latent frames that come from the source.
        given: vision items that the model reads whole besides what it generates.
        fit: how source frames are brought onto the canvas.
        actions: whether robot actions go in or come out.
        sound: whether it can make a soundtrack, or follow one.
    """

    aliases: tuple[str, ...]
    output: Output
    source: SourceKind
    purpose: str
    gives: str
    routes: Mapping[Route, tuple[MediaKind | None, ...]] = field(hash=False)
    clean: Clean = Clean.NONE
    given: Given = Given.NONE
    fit: Fit = Fit.COVER
    actions: Actions = Actions.NONE
    sound: bool = False


class Mode(StrEnum):
    """A generation mode. The names other servers use for the same are accepted as aliases."""

    TEXT_TO_IMAGE = "text2image"
    IMAGE_TO_IMAGE = "image2image"
    TEXT_TO_VIDEO = "text2video"
    IMAGE_TO_VIDEO = "image2video"
    VIDEO_TO_VIDEO = "video2video"
    TRANSFER = "transfer"
    FORWARD_DYNAMICS = "forward_dynamics"
    INVERSE_DYNAMICS = "inverse_dynamics"
    POLICY = "policy"

    @classmethod
    def _missing_(cls, value: object) -> Mode | None:
        key = str(value).lower().replace("-", "_")
        return next((mode for mode in cls if key == mode.value or key in mode.row.aliases), None)

    @property
    def row(self) -> ModeRow:
        """What it is."""
        return MODES[self]

    @property
    def is_image(self) -> bool:
        """One frame out."""
        return self.row.output is Output.IMAGE

    @property
    def is_action(self) -> bool:
        """Robot actions go in or come out."""
        return self.row.actions is not Actions.NONE

    @property
    def predicts_action(self) -> bool:
        """Robot actions come out."""
        return self.row.actions is Actions.PREDICTED


MODES: dict[Mode, ModeRow] = {
    Mode.TEXT_TO_IMAGE: ModeRow(
        aliases=("t2i", "text_to_image"),
        output=Output.IMAGE,
        source=SourceKind.NONE,
        purpose="makes an image from text",
        gives="1 frame",
        routes={Route.IMAGES: (None,)},
    ),
    Mode.IMAGE_TO_IMAGE: ModeRow(
        aliases=("i2i", "image_to_image", "image_edit"),
        output=Output.IMAGE,
        source=SourceKind.IMAGE,
        purpose="edits a given image",
        gives="the image as the text changes it",
        routes={Route.EDITS: ("image",)},
        given=Given.PICTURE,
    ),
    Mode.TEXT_TO_VIDEO: ModeRow(
        aliases=("t2v", "text_to_video"),
        output=Output.VIDEO,
        source=SourceKind.NONE,
        purpose="makes a video from text",
        gives="frames, sound if `generate_sound`",
        routes={Route.VIDEOS: (None,)},
        sound=True,
    ),
    Mode.IMAGE_TO_VIDEO: ModeRow(
        aliases=("i2v", "image_to_video", "audio_image2video"),
        output=Output.VIDEO,
        source=SourceKind.IMAGE,
        purpose="animates a given image",
        gives="frame 0 is the image as the VAE renders it",
        routes={Route.VIDEOS: ("image",)},
        clean=Clean.FIRST,
        sound=True,
    ),
    Mode.VIDEO_TO_VIDEO: ModeRow(
        aliases=("v2v", "video_to_video"),
        output=Output.VIDEO,
        source=SourceKind.VIDEO,
        purpose="continues a given video",
        gives="continues its first or last frames (`condition_frame_indexes_vision`, `condition_video_keep`)",
        routes={Route.VIDEOS: ("video",)},
        clean=Clean.CHOSEN,
        fit=Fit.PRESET,
        sound=True,
    ),
    Mode.TRANSFER: ModeRow(
        aliases=("video_transfer",),
        output=Output.VIDEO,
        source=SourceKind.CONTROLS,
        purpose="follows control videos",
        gives="a video with the structure of its controls (edge, blur, depth, seg, wsm)",
        routes={Route.VIDEOS: ()},
        clean=Clean.OPENING,
        given=Given.CONTROLS,
        fit=Fit.PRESET,
    ),
    Mode.FORWARD_DYNAMICS: ModeRow(
        aliases=(),
        output=Output.ROLLOUT,
        source=SourceKind.FRAME,
        purpose="starts from a given image or a video's first frame",
        gives="the video the actions lead to",
        routes={Route.VIDEOS: ()},
        clean=Clean.FIRST,
        fit=Fit.PAD,
        actions=Actions.GIVEN,
    ),
    Mode.INVERSE_DYNAMICS: ModeRow(
        aliases=(),
        output=Output.ROLLOUT,
        source=SourceKind.VIDEO,
        purpose="reads actions off a given video",
        gives="the actions between its frames",
        routes={Route.VIDEOS: (), Route.ACTIONS: ("video",)},
        clean=Clean.ALL,
        fit=Fit.PAD,
        actions=Actions.PREDICTED,
    ),
    Mode.POLICY: ModeRow(
        aliases=("wam",),
        output=Output.ROLLOUT,
        source=SourceKind.FRAME,
        purpose="starts from a given image or a video's first frame",
        gives="actions and the video they lead to",
        routes={Route.VIDEOS: (), Route.ACTIONS: (None, "image")},
        clean=Clean.FIRST,
        fit=Fit.PAD,
        actions=Actions.PREDICTED,
    ),
}


def offered_on(route: Route) -> tuple[Mode, ...]:
    """The modes that a route offers."""
    return tuple(mode for mode in Mode if route in mode.row.routes)


def implied_mode(route: Route, reference: MediaKind | None) -> Mode:
    """The mode of a request that names none, by the reference it carries."""
    return next(mode for mode in offered_on(route) if reference in mode.row.routes[route])
