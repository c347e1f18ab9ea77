"""Sound becomes stereo at the rate asked for."""

from __future__ import annotations

import numpy as np
import pytest

from cosmos3_core.media.sound import decode_audio
from tests.core.media.samples import mp4, refuses, tone, wav


@pytest.mark.parametrize(("channels", "rate"), [(1, 48_000), (2, 44_100), (2, 8_000), (3, 6_000), (6, 9_600)])
def test_sound_becomes_stereo_at_the_rate_asked_for(channels: int, rate: int) -> None:
    content = wav(np.full((rate, channels), 16_384, np.int16), rate)
    for wanted in (48_000, 24_000):
        decoded = decode_audio(content, wanted)
        assert decoded.shape[0] == 2 and abs(decoded.shape[1] - wanted) <= 2
        assert np.abs(decoded[:, 1000:-1000] - 0.5).max() < 0.01
    assert np.abs(decode_audio(mp4(10, sound=np.sign(tone(0.5)) * np.float32(3)))).max() <= 1
    refuses("sampling_rate is 0", decode_audio, content, 0)
    refuses("the file's sampling rate is 1; use 1000", decode_audio, wav(np.zeros((99, 2), np.int16), 1))
