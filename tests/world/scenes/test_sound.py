"""The tone: length, pitch, beginning."""

from __future__ import annotations

import numpy as np
import pytest

from examples.tiny_world.scenes.motion import simulate
from examples.tiny_world.scenes.scene import SAMPLING_RATE, Body, ClipFormat, Scene
from examples.tiny_world.scenes.shapes import ShapeKind, Size
from examples.tiny_world.scenes.sound import PITCH_CLASSES, frequency, onset_of, sound_of, tone


def test_a_is_440_hertz() -> None:
    assert frequency(9) == pytest.approx(440, rel=1e-5)


def test_a_tone_is_stereo_within_range_and_silent_before_it_begins() -> None:
    wave = tone(9, 0.25, 24000)
    assert wave.shape == (2, 24000) and wave.dtype == np.float32
    assert (wave[0] == wave[1]).all() and 0.5 < np.abs(wave).max() <= 0.7
    assert (wave[:, :12000] == 0).all() and np.abs(wave[:, 12000:12400]).max() > 0.1


def test_the_strongest_frequency_is_the_fundamental() -> None:
    wave = tone(4, 0.0, SAMPLING_RATE)[0]
    assert np.abs(np.fft.rfft(wave)).argmax() == round(frequency(4))


def test_the_sound_of_a_scene_follows_its_first_shape_and_event() -> None:
    clip = ClipFormat(frames=9, fps=8.0)
    ball = Body(ShapeKind.CIRCLE, "green", Size.SMALL, 0.3, 0.5, vx=-0.5)
    scene = Scene((ball, Body(ShapeKind.CIRCLE, "pink", Size.SMALL, 1.2, 0.5)), format=clip)
    onset = onset_of(simulate(scene))
    assert onset == pytest.approx((0.3 - ball.extent.left) / 0.5)
    assert (sound_of(scene) == tone(PITCH_CLASSES["green"], onset, clip.samples)).all()
    assert onset_of(simulate(Scene((Body(ShapeKind.CIRCLE, "green", Size.SMALL, 0.8, 0.5),)))) == 0.0
