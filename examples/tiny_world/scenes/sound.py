"""The sound of a scene: one tone, its pitch by the colour of the first shape, its beginning by the first event."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.motion import Motion, simulate
from examples.tiny_world.scenes.palette import COLOURS
from examples.tiny_world.scenes.scene import SAMPLING_RATE, Scene

Sound = NDArray[np.float32]
"""`[2, samples]` in [-1, 1] at 48 kHz."""

PITCH_NAMES = ("C", "C sharp", "D", "D sharp", "E", "F", "F sharp", "G", "G sharp", "A", "A sharp", "B")
PITCH_CLASSES = dict(zip(COLOURS, (0, 2, 4, 5, 7, 9, 10, 11), strict=True))
"""The pitch class of each colour: semitones above C."""
LOWEST_C = 261.6256
"""Frequency of the C below all tones, in Hz (C4)."""
ATTACK, DECAY = 0.005, 0.8
"""Seconds in which the tone rises, and after which it has fallen to 1 / e."""
HARMONICS = (0.5, 0.15, 0.05)
"""Amplitudes of the fundamental and its multiples."""


def frequency(pitch_class: int) -> float:
    """Of a tone between C4 and B4, in Hz."""
    return LOWEST_C * math.pow(2.0, pitch_class / 12)


def onset_of(motion: Motion) -> float:
    """When the tone of a scene begins: at the first event, or with the clip where there is none, in seconds."""
    return motion.events[0].seconds if motion.events else 0.0


def tone(pitch_class: int, onset: float, samples: int) -> Sound:
    """A tone that begins at a time, with silence before it, equal on both sides.

    Args:
        pitch_class: semitones above C, 0 to 11.
        onset: in seconds.
        samples: length of the whole.
    """
    time = np.arange(samples) / SAMPLING_RATE - onset
    base = 2 * np.pi * frequency(pitch_class)
    waves = sum(volume * np.sin(number * base * time) for number, volume in enumerate(HARMONICS, 1))
    envelope = np.clip(time / ATTACK, 0.0, 1.0) * np.exp(-np.clip(time, 0.0, None) / DECAY)
    return np.repeat((waves * envelope)[None], 2, axis=0).astype(np.float32)


def sound_of(scene: Scene, motion: Motion | None = None) -> Sound:
    """The sound of a scene, as long as its frames; `motion` is what `simulate` says, and None asks it."""
    moved = simulate(scene) if motion is None else motion
    return tone(PITCH_CLASSES[scene.bodies[0].colour], onset_of(moved), scene.format.samples)
