"""An image and a video of known size and length, with and without content."""

from __future__ import annotations

from cosmos3_core.media.stills import encode_image
from cosmos3_core.workflows.medium import Medium, MediumKind
from tests.core.media.samples import flat, mp4

IMAGE = Medium(MediumKind.IMAGE, 640, 480)
VIDEO = Medium(MediumKind.VIDEO, 64, 48, seconds=20.0)
GREY = (128, 128, 128)


def grey_image(width: int = 640, height: int = 480) -> Medium:
    """A grey image, with its content."""
    content = encode_image(flat(GREY, height, width), "png")
    return Medium(MediumKind.IMAGE, width, height, None, content, "image/png")


def short_video(frames: int = 24, fps: float = 12) -> Medium:
    """A video of 64x48, with its content."""
    return Medium(MediumKind.VIDEO, 64, 48, frames / fps, mp4(frames, fps), "video/mp4")
