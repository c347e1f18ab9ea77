"""Sound from files to stereo arrays (float32 in [-1, 1], channels before samples), with PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from numpy.typing import NDArray

from cosmos3_core.media.allowance import announce
from cosmos3_core.media.checks import MediaError, check_range
from cosmos3_core.media.source import Source, demuxed


def decode_audio(source: Source, sampling_rate: int = 48_000) -> NDArray[np.float32]:
    """Decode the sound of an audio or video file to stereo float32 [2, N] in [-1, 1] at `sampling_rate` Hz.

    Mono is duplicated; more channels are downmixed, scaled so that the downmix cannot clip.

    Raises:
        MediaError: unreadable, corrupt, without sound, or a sampling rate out of range.
    """
    check_range("sampling_rate", sampling_rate, 1, 768_000)
    with demuxed("audio", source) as container:
        chunks = list(_resampled(container, sampling_rate)) if container.streams.audio else []
        if not chunks:
            raise MediaError("there is no sound track, or an empty one")
        samples = np.clip(np.nan_to_num(np.concatenate(chunks, axis=1), copy=False), -1.0, 1.0)
        return np.repeat(samples, 2, axis=0) if len(samples) == 1 else samples


def _resampled(container: InputContainer, sampling_rate: int) -> Iterator[NDArray[np.float32]]:
    resampler = None
    for frame in chain(container.decode(audio=0), [None]):
        if resampler is None:
            if frame is None:
                return
            # A small file at 1 Hz would fill the memory once resampled.
            check_range("the file's sampling rate", frame.sample_rate, 1_000, 768_000)
            # The frame is asked, because headers declare some stereo (HE-AAC v2) as mono. FFmpeg's own conversion from
            # mono to stereo loses 3 dB, so mono stays mono here and the caller duplicates it.
            layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
            resampler = AudioResampler("fltp", layout, sampling_rate, options={"rematrix_maxval": "1.0"})
        # Where there is nothing to convert, PyAV returns the flushing None itself.
        announce(0 if frame is None else frame.samples)
        for chunk in filter(None, resampler.resample(frame)):
            announce(chunk.samples)
            yield np.asarray(chunk.to_ndarray(), np.float32)


def fitted(waveform: NDArray[np.float32], samples: int | None) -> NDArray[np.float32]:
    """A soundtrack `[2, n]` cut, or padded with silence, to a length; None keeps it."""
    if samples is None:
        return waveform
    return np.pad(waveform[:, :samples], ((0, 0), (0, max(0, samples - waveform.shape[1]))))
