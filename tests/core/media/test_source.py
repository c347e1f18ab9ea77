"""Files that cannot be decoded: every decoder refuses them in the same way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos3_core.media.checks import MediaError
from cosmos3_core.media.clips import decode_video
from cosmos3_core.media.sound import decode_audio
from cosmos3_core.media.stills import decode_image
from tests.core.media.samples import LONGER, SMALL, refuses, wav

DECODERS: list[Callable[[bytes | Path], object]] = [decode_image, decode_video, decode_audio]
PLAYLISTS = [b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n"]


@pytest.mark.parametrize("decode", DECODERS)
def test_what_is_not_media_is_refused(decode: Callable[[bytes | Path], object], tmp_path: Path) -> None:
    for content in (b"", b"not media at all " * 50, bytes(5000), b"P6 1 1 255 abc", *PLAYLISTS):
        refuses(f"from {len(content)} bytes: .*expected a complete", decode, content)
    for path in (tmp_path / "missing.mp4", tmp_path):
        refuses(str(path), decode, path)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.8])
def test_files_cut_short_are_refused(part: float) -> None:
    for decode, contents in zip(DECODERS, (list(SMALL.values())[:3], LONGER, LONGER[1:]), strict=True):
        for content in contents:
            refuses("expected a complete", decode, content[: int(len(content) * part)])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(name=st.sampled_from(sorted(SMALL)), data=st.data())
def test_damage_gives_a_result_or_a_media_error(name: str, data: st.DataObject) -> None:
    content = bytearray(SMALL[name])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for decode in DECODERS:
        with suppress(MediaError):
            decode(bytes(content))


def test_wrong_kinds_are_refused() -> None:
    refuses("no sound track", decode_audio, LONGER[0])
    refuses("no video track", decode_video, wav(np.zeros((100, 1), np.int16)))
    for decode, name in ((decode_video, "png"), (decode_audio, "png"), (decode_image, "mp4")):
        refuses("expected a complete", decode, SMALL[name])
