"""The image or video that a question is about: its file, its size and its length."""

from __future__ import annotations

import base64
import mimetypes
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from cosmos3_core.media.checks import MediaError, TooManyPixels
from cosmos3_core.media.clips import decode_video, video_seconds
from cosmos3_core.media.stills import decode_image

EXPECTED = "expected an image (JPEG, PNG, WEBP, BMP, GIF, TIFF) or a video (MP4, MOV, WebM, Matroska, AVI, MPEG)"


class MediumKind(StrEnum):
    """What a file shows."""

    IMAGE = "image"
    VIDEO = "video"


@dataclass(frozen=True)
class Medium:
    """A file that a question is about.

    Attributes:
        kind: image or video.
        width, height: in pixels, upright.
        seconds: length of a video; None for an image.
        content: the file's bytes.
        mime_type: such as `video/mp4`.
    """

    kind: MediumKind
    width: int
    height: int
    seconds: float | None = None
    content: bytes = field(default=b"", repr=False)
    mime_type: str = ""

    @property
    def data_uri(self) -> str:
        """The file as a base64 data URI."""
        return f"data:{self.mime_type};base64,{base64.b64encode(self.content).decode()}"


def read_medium(path: Path) -> Medium:
    """Read a file and find out what it is by its content. An animated GIF is an image: its first frame.

    Raises:
        MediaError: the file is neither an image nor a video, or its frames are too large.
        OSError: the file cannot be read.
    """
    content = path.read_bytes()
    for read in (_image, _video):
        try:
            return read(content, path.name)
        except TooManyPixels:
            raise
        except MediaError:
            continue
    raise MediaError(f"{path} cannot be decoded; {EXPECTED}")


def _image(content: bytes, name: str) -> Medium:
    height, width, _ = decode_image(content).shape
    return Medium(MediumKind.IMAGE, width, height, None, content, _mime_type(name, "image/*"))


def _video(content: bytes, name: str) -> Medium:
    _, height, width, _ = decode_video(content, first=1).frames.shape
    return Medium(MediumKind.VIDEO, width, height, video_seconds(content), content, _mime_type(name, "video/mp4"))


def _mime_type(name: str, default: str) -> str:
    """The type that the file's name says, if it is of the default's family."""
    guessed, _ = mimetypes.guess_type(name)
    family = default.partition("/")[0]
    return guessed if guessed is not None and guessed.startswith(f"{family}/") else default
