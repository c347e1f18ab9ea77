"""The routes that do not generate: models, health and metrics."""

from __future__ import annotations

from typing import Any

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from deployments.local.launch import RunningGraph
from tests.surface.inputs import TINY, as_parts
from tests.surface.reading import video_in

SYNC = {"method": "POST", "route": "/v1/videos/sync", "status": "200"}


def test_c01_the_first_model_serves_every_route(http: httpx.Client) -> None:
    """C1: models are listed without a key; chat, videos and images take the first id."""
    listed = http.get("/v1/models")
    assert listed.status_code == 200 and listed.json()["object"] == "list"
    model = listed.json()["data"][0]["id"]
    assert model
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
    image = {"prompt": "a robot", "size": "64x64", "num_inference_steps": 1}
    for path, body in (("/v1/chat/completions", chat), ("/v1/images/generations", image), ("/v1/videos/sync", TINY)):
        answer = http.post(path, json=body | {"model": model})
        assert answer.status_code == 200, f"{path}: {answer.text}"
        named = answer.json()["model"] if path.endswith("completions") else answer.headers["x-model"]
        assert named == model


def test_c46_health_in_nims_form(http: httpx.Client) -> None:
    """C46, health only: three keys each.

    A graph that is still starting answers 503 (tests/ingress/routes/test_health.py). `/v1/metadata` is not served.
    """
    for path, message, status in (
        ("/v1/health/live", "Service is live", "live"),
        ("/v1/health/ready", "Service is ready", "ready"),
    ):
        answer = http.get(path)
        assert answer.status_code == 200
        assert answer.json() == {"object": "health.response", "message": message, "status": status}
    assert http.get("/health").json() == {"status": "healthy"}


def test_nothing_listens_beyond_this_machine(graph: RunningGraph) -> None:
    """Every process of a local graph: Ray's, Serve's, the ranks and vLLM's."""
    listening = {
        (process.name(), connection.laddr.ip.removeprefix("::ffff:"))
        for process in graph.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert len(listening) >= 5, "the processes were found"
    assert {(name, address) for name, address in listening if address not in ("127.0.0.1", "::1")} == set()


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics"])
def test_c60_a_synchronous_video_moves_the_counters(path: str, http: httpx.Client) -> None:
    """C60: Prometheus text 0.0.4; the names are ours (`cosmos3_...`), not vLLM-Omni's."""
    answer = http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    requests, times = _sample(answer.text, "requests_total"), _sample(answer.text, "seconds_count")
    video_in(http.post("/v1/videos/sync", files=as_parts(TINY)))
    after = http.get(path).text
    assert _sample(after, "requests_total") == requests + 1
    assert _sample(after, "seconds_count") == times + 1


def _sample(exposition: str, name: str) -> float:
    """How many synchronous videos the ingress has answered, by a counter or by a histogram of times."""
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            if sample.name == f"cosmos3_http_{name}" and sample.labels.items() <= SYNC.items():
                return float(sample.value)
    return 0.0
