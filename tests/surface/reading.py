"""Reads the answers that clients get: errors, jobs while they run, videos."""

from __future__ import annotations

import io
import json
import re
import time
from typing import Any

import av
import httpx

from cosmos3_core.media.clips import VideoClip, decode_video

POLL_S = 0.05
JOB_ID = re.compile(r"video_gen_[0-9a-f]{32}")
# A path of the server's disk; routes may be named.
_ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?!v1/)[\w.-]+/[\w.-]+")


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer with this status: in vLLM's envelope, and without paths of the server."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    envelope = response.json()
    assert set(envelope) == {"error"}
    error: dict[str, Any] = envelope["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    assert error["code"] == status and isinstance(error["code"], int)
    assert error["type"] and error["request_id"] == response.headers["x-request-id"]
    assert 0 < len(error["message"]) <= 2000 and not _ABSOLUTE_PATH.search(error["message"]), error["message"]
    return error


def polled(http: httpx.Client, job: str, timeout_s: float = 100.0) -> list[dict[str, Any]]:
    """All states of a job that a polling client gets, up to the final one."""
    states: list[dict[str, Any]] = []
    deadline = time.monotonic() + timeout_s
    while not states or states[-1]["status"] in ("queued", "in_progress"):
        assert time.monotonic() < deadline, states[-1:]
        answer = http.get(f"/v1/videos/{job}")
        assert answer.status_code == 200, answer.text
        states.append(answer.json())
        time.sleep(POLL_S)
    return states


def completed(http: httpx.Client, job: str, timeout_s: float = 100.0) -> dict[str, Any]:
    """The final state of a job, polled until it is completed."""
    end = polled(http, job, timeout_s)[-1]
    assert end["status"] == "completed", end["error"]
    return end


def video_in(response: httpx.Response) -> VideoClip:
    """The video in an answer that reports no ignored fields."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "video/mp4"
    assert "x-ignored-fields" not in response.headers
    return decode_video(response.content)


def sound_of(content: bytes) -> tuple[str, int, int]:
    """Codec, sampling rate and channels of a video's sound."""
    with av.open(io.BytesIO(content)) as container:
        (track,) = container.streams.audio
        return track.codec_context.name, track.rate, track.channels


def stage_durations(response: httpx.Response) -> dict[str, float]:
    """The durations in an answer's header."""
    durations: dict[str, float] = json.loads(response.headers["x-stage-durations"])
    return durations
