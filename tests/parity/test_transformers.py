"""The understanding tower equals transformers' Reasoner, and the ViT outside vLLM equals the one inside the model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from cosmos3_core import Checkpoint, ExecutionSettings
from cosmos3_core.codecs.vision import VisionEncoder
from cosmos3_core.stages.understanding import Understanding
from tests.parity.cases import picture
from tests.parity.compare import relative_error

TOLERANCE = 1e-5
CPU = ExecutionSettings(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def token_ids() -> list[int]:
    return [int(i) for i in torch.randint(30, 2000, (300,), generator=torch.Generator().manual_seed(0))]


def reasoner_cache(root: Path, token_ids: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values per layer of transformers' model after a prefill, each `[kv_heads, tokens, head_dim]`."""
    model = AutoModelForImageTextToText.from_pretrained(str(root), dtype=torch.float32)
    with torch.no_grad():
        output = model(input_ids=torch.tensor([token_ids]), use_cache=True)
    return [(layer.keys[0], layer.values[0]) for layer in output.past_key_values.layers]


def test_nano_keys_and_values_equal_the_reasoners_cache(nano: Path, token_ids: list[int]) -> None:
    ours = Understanding.from_checkpoint(Checkpoint.find(nano), CPU).prefill(token_ids).values
    cache = reasoner_cache(nano, token_ids)
    assert len(cache) == len(ours)
    for layer, (keys, values) in zip(ours, cache, strict=True):
        assert relative_error(layer[0], keys) <= TOLERANCE
        assert relative_error(layer[1], values) <= TOLERANCE


def test_edge_values_equal_the_reasoners_cache(edge: Path, token_ids: list[int]) -> None:
    ours = Understanding.from_checkpoint(Checkpoint.find(edge), CPU).prefill(token_ids).values
    cache = reasoner_cache(edge, token_ids)
    assert len(cache) == len(ours)
    for layer, (keys, values) in zip(ours, cache, strict=True):
        assert relative_error(layer[1], values) <= TOLERANCE
        # The generation tower reads differently normalised keys than the Reasoner (spec 2.2, item 4).
        assert relative_error(layer[0], keys) > 0.1


@pytest.mark.parametrize("family", ["nano", "edge"])
def test_image_embeddings_equal_the_models_own(family: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(family)
    image = picture(200, 333, seed=8)
    ours = VisionEncoder.from_checkpoint(Checkpoint.find(root), CPU).encode(image)
    model = AutoModelForImageTextToText.from_pretrained(str(root), dtype=torch.float32)
    inputs = AutoProcessor.from_pretrained(str(root)).image_processor(images=[image], return_tensors="pt")
    with torch.no_grad():
        output = model.model.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"])
    features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or [])]
    expected = torch.cat([f if isinstance(f, torch.Tensor) else torch.cat(tuple(f)) for f in features], dim=-1)
    assert tuple(inputs["image_grid_thw"][0]) == ours.grid
    assert relative_error(ours.embeddings, expected) <= TOLERANCE
