"""Each way in which the hub refuses a repository ends in a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.errors import CheckpointError


def http_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    request = httpx2.Request("GET", "https://hub.invalid/api/models/nvidia/Cosmos3-Nano")
    return kind("refused by the hub", response=httpx2.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (http_error(GatedRepoError, 403), ["is gated", "accept its licence", "HF_TOKEN", "hf auth login"]),
        (
            http_error(RepositoryNotFoundError, 401),
            ["no such repository", "private", "check the name", "HF_TOKEN"],
        ),
        (http_error(RevisionNotFoundError, 404), ["cannot be fetched", "refused by the hub"]),
        (http_error(HfHubHTTPError, 500), ["cannot be fetched", "refused by the hub"]),
        (OSError(28, "No space left on device"), ["cannot be fetched", "No space left on device"]),
    ],
    ids=["gated", "unknown", "revision", "server", "disk"],
)
def test_a_refusal_of_the_hub_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception, advice: list[str]
) -> None:
    def refuse(*args: Any, **options: Any) -> str:
        raise error

    monkeypatch.setattr("cosmos3_core.hub.snapshot_download", refuse)
    with pytest.raises(CheckpointError) as raised:
        Checkpoint.find("nvidia/Cosmos3-Nano")
    assert str(raised.value).startswith("nvidia/Cosmos3-Nano")
    assert [part for part in advice if part not in str(raised.value)] == []
    assert raised.value.__cause__ is error


def test_an_id_with_illegal_characters_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not a valid Hugging Face id"):
        Checkpoint.find("nvidia/Cosmos 3 Nano")
