"""The list of a checkpoint's tensors against the folder of one."""

from __future__ import annotations

import pytest

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.names import LEGACY_NAMES, published_names, published_shapes
from cosmos3_core.weights import stored_tensors


@pytest.fixture(params=["nano", "edge"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return Checkpoint.find(request.getfixturevalue(request.param))


def test_the_published_names_are_those_of_the_folder(checkpoint: Checkpoint) -> None:
    config = checkpoint.transformer_config
    stored = stored_tensors(checkpoint.folder("transformer"))
    assert {name: tensor.shape for name, tensor in stored.items()} == published_shapes(config)
    assert published_names(config) == stored.keys() | LEGACY_NAMES
