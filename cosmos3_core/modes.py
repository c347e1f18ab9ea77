"""What can be generated: the modes, their inputs and their outputs (spec 8.2, 9)."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """A generation mode. The names other servers use for the same are accepted as aliases."""

    TEXT_TO_IMAGE = "text2image"
    TEXT_TO_VIDEO = "text2video"
    IMAGE_TO_VIDEO = "image2video"
    VIDEO_TO_VIDEO = "video2video"
    FORWARD_DYNAMICS = "forward_dynamics"
    INVERSE_DYNAMICS = "inverse_dynamics"
    POLICY = "policy"

    @classmethod
    def _missing_(cls, value: object) -> Mode | None:
        key = str(value).lower().replace("-", "_")
        return _ALIASES.get(key) or next((mode for mode in cls if mode.value == key), None)

    @property
    def is_image(self) -> bool:
        """One frame out."""
        return self is Mode.TEXT_TO_IMAGE

    @property
    def is_action(self) -> bool:
        """Robot actions go in or come out."""
        return self in (Mode.FORWARD_DYNAMICS, Mode.INVERSE_DYNAMICS, Mode.POLICY)

    @property
    def predicts_action(self) -> bool:
        """Robot actions come out."""
        return self in (Mode.INVERSE_DYNAMICS, Mode.POLICY)


_ALIASES = {
    "t2i": Mode.TEXT_TO_IMAGE,
    "text_to_image": Mode.TEXT_TO_IMAGE,
    "t2v": Mode.TEXT_TO_VIDEO,
    "text_to_video": Mode.TEXT_TO_VIDEO,
    "i2v": Mode.IMAGE_TO_VIDEO,
    "image_to_video": Mode.IMAGE_TO_VIDEO,
    "v2v": Mode.VIDEO_TO_VIDEO,
    "video_to_video": Mode.VIDEO_TO_VIDEO,
    "wam": Mode.POLICY,
}
