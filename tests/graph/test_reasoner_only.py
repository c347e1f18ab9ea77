"""A graph that only chats, with the ViT left in vLLM: the same greedy tokens, and nothing else is served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cosmos3_core.media.stills import encode_image
from deployments.local.launch import RunningGraph
from tests.graph.starting import started, tiny_recipe
from tests.graph.test_chat import asked
from tests.parity.cases import picture

pytestmark = pytest.mark.slow
GREEDY: dict[str, Any] = {"temperature": 0, "max_tokens": 16, "ignore_eos": True, "return_token_ids": True}


@pytest.fixture(scope="module")
def reasoner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGraph]:
    """tiny-cpu without Generator, Decoder and Encoder."""
    data = tmp_path_factory.mktemp("reasoner")
    config = tiny_recipe(data)
    front, model, _ = config["applications"]
    model["args"]["generator"] = None
    model["args"]["reasoner"]["vision"] = "engine"
    model["deployments"] = [entry for entry in model["deployments"] if entry["name"] == "Reasoner"]
    config["applications"] = [front, model]
    with started(config, data / "log") as running:
        yield running


def test_vllms_own_vit_gives_the_same_tokens(reasoner: RunningGraph, roomy: RunningGraph) -> None:
    two = asked(encode_image(picture(96, 160, seed=5), "png")) + asked(encode_image(picture(160, 96, seed=6), "png"))
    for messages in (asked(), asked(encode_image(picture(224, 320, seed=9), "png")), two):
        body = {"messages": messages, **GREEDY}
        inside, outside = (
            httpx.post(f"{url}/v1/chat/completions", json=body, timeout=120).json() for url in (reasoner.url, roomy.url)
        )
        assert inside["prompt_token_ids"] == outside["prompt_token_ids"]
        assert inside["choices"][0]["token_ids"] == outside["choices"][0]["token_ids"]


def test_generations_are_refused(reasoner: RunningGraph) -> None:
    answer = httpx.post(f"{reasoner.url}/v1/images/generations", json={"prompt": "x", "model": "cosmos3-tiny"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    entry = httpx.get(f"{reasoner.url}/v1/models").json()["data"][0]
    assert entry["abilities"] == {"chat": True, "modes": [], "sound": False}


def test_the_fetcher_of_vllm_is_never_reached(reasoner: RunningGraph) -> None:
    for url in ("http://127.0.0.1:9/x.png", "file:///etc/hostname", "ftp://x/y"):
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        answer = httpx.post(f"{reasoner.url}/v1/chat/completions", json={"messages": messages})
        assert answer.status_code == 400
