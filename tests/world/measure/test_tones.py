"""Pitch and onset: of every pitch, at every time, in noise, in silence."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.measure.tones import read_tone
from examples.tiny_world.scenes.sound import frequency, tone


@pytest.mark.parametrize("pitch_class", range(12))
def test_every_pitch_is_read_from_a_short_piece(pitch_class: int) -> None:
    for onset in (0.0, 0.217):
        found = read_tone(tone(pitch_class, onset, 18000))
        assert found is not None and found.pitch_class == pitch_class
        assert found.frequency == pytest.approx(frequency(pitch_class), rel=0.01)
        assert found.onset == pytest.approx(onset, abs=0.01) and found.confidence > 0.7


def test_noise_lowers_the_confidence_before_it_hides_the_tone() -> None:
    rng, wave = np.random.default_rng(0), tone(9, 0.2, 36000)
    read = [read_tone((wave + rng.normal(0, level, wave.shape)).astype(np.float32)) for level in (0.0, 0.05, 0.15)]
    assert [found.pitch_class for found in read if found] == [9, 9, 9]
    confidences = [found.confidence for found in read if found]
    assert confidences == sorted(confidences, reverse=True) and confidences[2] < 0.9 * confidences[0]
    assert all(found is not None and found.onset == pytest.approx(0.2, abs=0.02) for found in read)


def test_a_quiet_tone_an_octave_away_has_the_same_pitch_class() -> None:
    wave = 0.1 * np.sin(2 * np.pi * 880 * np.arange(24000) / 48000)
    found = read_tone(np.stack([wave, wave]).astype(np.float32))
    assert found is not None and found.pitch_class == 9


def test_silence_and_nothing_are_no_tone() -> None:
    assert read_tone(np.zeros((2, 24000), np.float32)) is None
    assert read_tone(np.zeros((2, 0), np.float32)) is None
    assert read_tone(np.full((2, 24000), np.nan, np.float32)) is None


def test_a_detuned_tone_is_less_certain() -> None:
    time = np.arange(24000) / 48000
    waves = [np.sin(2 * np.pi * 440 * 2 ** (cents / 1200) * time)[None].astype(np.float32) for cents in (0, 40)]
    right, detuned = (read_tone(wave) for wave in waves)
    assert right is not None and detuned is not None and detuned.confidence < 0.5 < right.confidence
