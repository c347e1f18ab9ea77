"""Fixtures of the ingress's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.media.mp4 import encode_mp4
from cosmos3_core.resolving.facts import ModelFacts
from tests.ingress.stubs import StubGraph, served_card
from tests.parity.cases import picture


@pytest.fixture(scope="session")
def facts(nano: Path) -> ModelFacts:
    """What requests must know of the tiny checkpoint."""
    return Checkpoint.find(str(nano)).facts


@pytest.fixture(scope="session")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of five frames."""
    path = tmp_path_factory.mktemp("media") / "clip.mp4"
    encode_mp4(path, [picture(32, 48, seed=index) for index in range(5)], 10.0)
    return path.read_bytes()


@pytest.fixture
def cards(facts: ModelFacts) -> Callable[..., StubGraph]:
    """Makes the stub of a graph that serves models of these names."""

    def graph(*names: str, **fields: Any) -> StubGraph:
        return StubGraph([served_card(facts, name, **fields) for name in names])

    return graph
