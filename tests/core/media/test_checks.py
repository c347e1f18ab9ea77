"""Pictures above the limit are refused before they are decoded."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from cosmos3_core.media import checks, clips, source
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.stills import decode_image
from tests.core.media.samples import SMALL, other_video, picture, refuses


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (20_000, 9_000)).save(content := io.BytesIO(), "PNG")
    # Only the header is left, so that nothing but the size can be refused.
    refuses("50000000", decode_image, content.getvalue()[:60])
    two_sizes = b"".join(other_video(picture(0, side, side), container="mpegts") for side in (48, 96))
    refuses("use one size", decode_video, two_sizes)
    for module in (checks, clips, source):
        monkeypatch.setattr(module, "MAX_PIXELS", 48 * 48)
    refuses("Invalid data", decode_video, two_sizes)
    for decode, name in ((decode_image, "png"), (decode_video, "mp4")):
        refuses("64x48 is above the limit of 2304 pixels", decode, SMALL[name])
