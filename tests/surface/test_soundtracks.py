"""Videos that follow a soundtrack, which is given as a sound or as a video file."""

from __future__ import annotations

import base64
import io
from typing import Any

import av
import httpx
import numpy as np
import pytest

from tests.surface.inputs import TINY, as_parts, jpeg
from tests.surface.reading import error_of, sound_of, video_in

SYNC = "/v1/videos/sync"


def wav(burst: float) -> bytes:
    """A second of mono at 16 kHz: silence with a burst of noise."""
    samples = np.zeros((1, 16_000), np.int16)
    samples[0, 4000:8000] = np.random.default_rng(0).normal(0, burst, 4000)
    file = io.BytesIO()
    with av.open(file, "w", format="wav") as container:
        track = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = 16_000
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return file.getvalue()


def soundtracked(http: httpx.Client, fields: dict[str, Any], **uploads: Any) -> httpx.Response:
    """A video that follows a soundtrack."""
    answer = http.post(SYNC, files=as_parts(TINY | {"fps": 5} | fields, **uploads))
    assert video_in(answer).frames.shape == (5, 64, 64, 3)
    assert sound_of(answer.content) == ("aac", 48_000, 2)
    return answer


def test_a_video_follows_a_soundtrack(http: httpx.Client) -> None:
    """A sound with an image or alone; another sound gives other frames, and the file carries a soundtrack."""
    image = jpeg("humanoid_robot", 64, 64)
    quiet, loud = (("sound.wav", wav(burst), "audio/wav") for burst in (0, 9000))
    first = soundtracked(http, {}, input_reference=image, audio_reference=quiet)
    text = {"audio_url": f"data:audio/wav;base64,{base64.b64encode(quiet[1]).decode()}"}
    again = soundtracked(http, {"sound_reference": text, "mode": "audio_image2video"}, input_reference=image)
    assert first.headers["x-latents-sha256"] == again.headers["x-latents-sha256"]
    other = soundtracked(http, {}, input_reference=image, audio_reference=loud)
    assert first.headers["x-latents-sha256"] != other.headers["x-latents-sha256"]
    soundtracked(http, {}, input_audio=loud)
    # The sound of a video file is a soundtrack too.
    soundtracked(http, {}, audio_reference=("made.mp4", first.content, "video/mp4"))


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"audio_reference": "http://127.0.0.1/sound.wav"}, "audio_reference"),
        ({"sound_reference": {"audio_url": "http://[::1]/sound.wav"}}, "sound_reference"),
        ({"input_audio": "data:audio/wav;base64,AAAA"}, "input_audio"),
    ],
)
def test_soundtracks_that_are_refused(fields: dict[str, Any], param: str, http: httpx.Client) -> None:
    """Private addresses are not fetched, and what is no sound is refused before a job is made."""
    assert error_of(http.post("/v1/videos", files=as_parts(TINY | fields)), 400)["param"] == param
