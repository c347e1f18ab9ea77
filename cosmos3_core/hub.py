"""Fetch files of a repository on the Hugging Face hub; each way to fail is a `CheckpointError` that says what to do."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from cosmos3_core.errors import CheckpointError


def download(repository: str, revision: str | None, patterns: list[str]) -> Path:
    """Fetch matching files into the hub's cache.

    Args:
        repository: an id of the form owner/name.
        revision: a branch, tag or commit; None is the default branch.
        patterns: which files, as shell patterns.

    Returns:
        The snapshot's folder.

    Raises:
        CheckpointError: the repository does not exist, is gated, or cannot be reached.
    """
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        raise CheckpointError(
            f"{repository} is gated: accept its licence on its model page, then set HF_TOKEN to a token of that "
            "account (or run `hf auth login`)"
        ) from error
    except RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{repository}: no such repository on the hub, or it is private: check the name, and set HF_TOKEN"
        ) from error
    except LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"{repository} is not in the local cache and the hub cannot be reached: unset HF_HUB_OFFLINE, check the "
            "network, or point HF_HOME at a cache that holds it"
        ) from error
    except HFValidationError as error:
        raise CheckpointError(f"{repository}: no such folder, and not a valid Hugging Face id") from error
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(f"{repository}: cannot be fetched: {error}") from error
