"""Each process holds its stage's weights, and what has crossed once does not cross again."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import torch

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.model.names import reasoner_shapes
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.weights import stored_tensors
from deployments.cli.client import Client
from tests.graph.figures import Figures, eventually

IMAGE: dict[str, Any] = {"size": "64x64", "num_inference_steps": 1, "guidance_scale": 4.0, "seed": 1}


def test_the_bytes_that_each_stage_read_agree_with_the_checkpoint(client: Client) -> None:
    checkpoint = Checkpoint.find("tiny:nano")
    config = checkpoint.transformer_config
    transformer = stored_tensors(checkpoint.folder("transformer"))
    with torch.device("meta"):
        generation = GenerationTower(config).state_dict()
        understanding = UnderstandingTower(config).state_dict()
    vision = sum(tensor.nbytes for tensor in stored_tensors(checkpoint.folder("vision_encoder")).values())
    figures = client.figures()
    assert figures["cosmos3_generator_bytes_read"] == sum(transformer[name].nbytes for name in generation)
    assert figures["cosmos3_reasoner_vllm_tower_bytes_read"] == sum(
        transformer[name].nbytes for name in reasoner_shapes(config)
    )
    assert figures["cosmos3_reasoner_vllm_vision_bytes_read"] == vision
    # The VAE's halves are read when a request first needs them; the ViT is there from the start.
    vae = stored_tensors(checkpoint.folder("vae"))
    encoder_half = sum(t.nbytes for name, t in vae.items() if name.startswith(("encoder.", "quant_conv.")))
    decoder_half = sum(t.nbytes for name, t in vae.items() if name.startswith(("decoder.", "post_quant_conv.")))
    tower = sum(transformer[name].nbytes for name in understanding)
    assert figures["cosmos3_encoder_bytes_read"] - tower - vision in (0, encoder_half)
    sound = figures["cosmos3_decoder_bytes_read"] - decoder_half
    assert 0 <= sound <= sum(t.nbytes for t in stored_tensors(checkpoint.folder("sound_tokenizer")).values())


def test_a_prompt_crosses_to_a_generator_once(client: Client, http: httpx.Client) -> None:
    def generate(body: dict[str, Any]) -> dict[str, int]:
        answer = http.post("/v1/images/generations", json=IMAGE | body | {"return_stage_metrics": True}).json()
        handed: dict[str, int] = answer["metrics"]["handed_over_bytes"]
        return handed

    prompt, other, negative = (f"{word} {uuid.uuid4()}" for word in ("a robot", "a cup", "blurry"))
    before = settled(client)
    first = generate({"prompt": prompt, "negative_prompt": negative})
    again = generate({"prompt": prompt, "negative_prompt": negative, "seed": 2})
    shared = generate({"prompt": other, "negative_prompt": negative})
    after = eventually(client, lambda f: f["cosmos3_generator_tasks"] == before["cosmos3_generator_tasks"] + 3)
    assert first["fetched"] == first["encode_denoise"] > 0
    assert again["fetched"] == 0
    assert 0 < shared["fetched"] < shared["encode_denoise"]

    def grown(name: str) -> float:
        return after[f"cosmos3_{name}"] - before[f"cosmos3_{name}"]

    assert grown("encoder_prefills") == 3
    assert (grown("encoder_prompt_cache_misses"), grown("encoder_prompt_cache_hits")) == (3, 3)
    assert (grown("generator_key_value_cache_misses"), grown("generator_key_value_cache_hits")) == (3, 3)
    assert grown("generator_bytes_fetched") == first["fetched"] + shared["fetched"]


def settled(client: Client) -> Figures:
    """Figures that no earlier test still changes."""
    return eventually(client, lambda f: f["cosmos3_generator_queued_tasks"] == 0 == f["cosmos3_jobs_unfinished"])
