"""A client that hangs up stops the work: between two steps of a video, in the middle of a chat."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from deployments.cli.client import Client
from tests.graph.figures import eventually, settled, steps_until_stopped

STEPS = 60
# Large enough that a step takes a good part of a second on this checkpoint.
LONG = {"prompt": "a robot", "size": "512x320", "num_frames": "45", "num_inference_steps": str(STEPS)}
LONG_CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "hi"}],
    "max_tokens": 3500,
    "ignore_eos": True,
    "temperature": 0,
}


def test_hanging_up_on_a_synchronous_video(client: Client, http: httpx.Client) -> None:
    before = settled(client)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/videos/sync", data=LONG, timeout=3)
    hung_up = time.monotonic()
    steps = steps_until_stopped(client, before)
    assert 0 < steps < STEPS / 2, f"{steps} steps, idle after {time.monotonic() - hung_up:.1f} s"


def test_deleting_a_running_video(client: Client, http: httpx.Client) -> None:
    before = settled(client)
    job = http.post("/v1/videos", data=LONG).json()["id"]
    deadline = time.monotonic() + 30
    while http.get(f"/v1/videos/{job}").json()["progress"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    at_delete = http.get(f"/v1/videos/{job}").json()["progress"] * STEPS // 100
    assert http.get(f"/v1/videos/{job}/content").status_code == 404
    assert http.delete(f"/v1/videos/{job}").status_code == 200
    assert http.get(f"/v1/videos/{job}").status_code == 404
    # Between reading the progress and hearing of the delete a few steps of this small model pass.
    assert steps_until_stopped(client, before) <= at_delete + 6
    quick = {"prompt": "x", "size": "64x64", "num_frames": "5", "num_inference_steps": "1"}
    assert http.post("/v1/videos/sync", data=quick).status_code == 200


@pytest.mark.parametrize("stream", [True, False])
def test_hanging_up_on_a_chat(stream: bool, client: Client, http: httpx.Client) -> None:
    tokens = "cosmos3_reasoner_vllm_generated_tokens"
    before = client.figures()[tokens]
    body = LONG_CHAT | {"stream": stream}
    if stream:
        with http.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.iter_lines()
            for _ in range(10):
                next(lines)
    else:
        with pytest.raises(httpx.ReadTimeout):
            http.post("/v1/chat/completions", json=body, timeout=1.5)
    running, unfinished = "cosmos3_reasoner_vllm_running_requests", "cosmos3_reasoner_vllm_unfinished_requests"
    after = eventually(client, lambda f: f[running] == 0 == f[unfinished], timeout=10)
    assert after["cosmos3_reasoner_active_requests"] == 0
    time.sleep(1.5)
    assert client.figures()[tokens] - before < LONG_CHAT["max_tokens"] / 2


def test_a_chat_that_is_hung_up_on_runs_no_longer_than_half_a_second(client: Client, http: httpx.Client) -> None:
    """By what is generated afterwards at the speed that was seen: a figure of the moment is up to a second old."""
    tokens = "cosmos3_reasoner_vllm_generated_tokens"
    before = settled(client)[tokens]
    with http.stream("POST", "/v1/chat/completions", json=LONG_CHAT | {"stream": True}) as response:
        lines = (line for line in response.iter_lines() if line.startswith("data: "))
        next(lines)
        started = time.monotonic()
        read = sum(1 for _, _ in zip(range(60), lines, strict=False))
        per_second = read / (time.monotonic() - started)
    eventually(client, lambda f: f["cosmos3_reasoner_vllm_unfinished_requests"] == 0, timeout=10)
    more = settled(client)[tokens] - before - read
    # What was on its way while the last event was read comes on top.
    assert more <= 0.5 * per_second + 10, f"{more:.0f} more tokens at {per_second:.0f} a second"


def test_events_end_with_a_deleted_job(http: httpx.Client) -> None:
    job = http.post("/v1/videos", data=LONG).json()["id"]
    with http.stream("GET", f"/v1/videos/{job}/events") as response:
        lines = response.iter_lines()
        while "step" not in next(lines):
            pass
        http.delete(f"/v1/videos/{job}")
        rest = list(lines)
    assert "event: done" not in rest
