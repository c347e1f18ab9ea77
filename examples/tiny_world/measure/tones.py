"""Reads the pitch of a tone and when it begins."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.tiny_world.scenes.scene import SAMPLING_RATE
from examples.tiny_world.scenes.sound import LOWEST_C

SILENCE = 0.01
"""Loudness (root of the mean square) below which nothing counts as heard."""
WINDOW, HOP = 480, 120
"""Of the loudness, in samples: 10 ms every 2.5 ms."""
BEGINS_AT = 0.3
"""A tone begins where the loudness reaches this part of its largest value."""
LISTENS = 0.5
"""How much of the tone its pitch is read from, in seconds."""
LOWEST, HIGHEST = 110.0, 1200.0
"""Frequencies among which the tone is looked for, in Hz."""
TRANSFORM = 1 << 17
"""Samples of the Fourier transform, most of them zeros: 0.37 Hz apart."""


@dataclass(frozen=True)
class ToneReading:
    """A tone.

    Attributes:
        pitch_class: semitones above C, 0 to 11.
        frequency: in Hz.
        onset: when it begins, in seconds.
        confidence: the part of the sound's power that is in the tone, times how near it is to the pitch: 1 on it, 0
            halfway to the next.
    """

    pitch_class: int
    frequency: float
    onset: float
    confidence: float


def read_tone(sound: NDArray[np.float32]) -> ToneReading | None:
    """The loudest tone of a sound.

    Args:
        sound: `[channels, samples]` at 48 kHz.

    Returns:
        None in silence.
    """
    wave = np.nan_to_num(sound.mean(axis=0, dtype=np.float64))
    begin = _begin(wave)
    if begin is None:
        return None
    heard = wave[begin : begin + round(LISTENS * SAMPLING_RATE)]
    power = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), TRANSFORM)) ** 2
    frequencies = np.fft.rfftfreq(TRANSFORM, 1 / SAMPLING_RATE)
    within = (frequencies >= LOWEST) & (frequencies <= HIGHEST)
    frequency = float(frequencies[within][power[within].argmax()])
    semitones = 12 * math.log2(frequency / LOWEST_C)
    near = 1.0 - 2 * abs(semitones - round(semitones))
    # The main lobe of a short piece is wide.
    lobe = 2.0 * SAMPLING_RATE / len(heard)
    share = float(power[np.abs(frequencies - frequency) <= lobe].sum() / max(power.sum(), 1e-12))
    return ToneReading(round(semitones) % 12, frequency, begin / SAMPLING_RATE, share * near)


def _begin(wave: NDArray[np.float64]) -> int | None:
    """The sample at which the tone begins."""
    if len(wave) < WINDOW:
        return None
    squares = np.concatenate([[0.0], np.cumsum(wave**2)])
    starts = np.arange(0, len(wave) - WINDOW + 1, HOP)
    loudness = np.sqrt((squares[starts + WINDOW] - squares[starts]) / WINDOW)
    if loudness.max() < SILENCE:
        return None
    first = int((loudness >= BEGINS_AT * loudness.max()).argmax())
    # The window that reaches the level begins before the tone, unless the sound begins with it.
    return int(starts[first]) + (0 if first == 0 else WINDOW // 2)
