"""The Understanding stage: prompts to keys and values, computed once per distinct prompt.

The result depends on the token ids alone, so it is cached by their hash under a byte budget: a constant negative
prompt or a robot's instruction runs the tower once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosmos3_core.byte_cache import ByteCache
from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.stages.towers import load_tower
from cosmos3_core.weights import LoadReport


@dataclass(frozen=True)
class TextKeyValues:
    """What the generation tower reads of one prompt.

    Attributes:
        key: hash of the token ids; equal keys mean equal tensors for one checkpoint and dtype.
        values: `[layers, 2, kv_heads, tokens, head_dim]`, keys then values, in the compute dtype.
    """

    key: str
    values: Tensor

    @property
    def tokens(self) -> int:
        """Text length, which sets the media's position offset."""
        return self.values.shape[3]


def key_of(token_ids: Sequence[int]) -> str:
    """Hash of a prompt's token ids."""
    return hashlib.sha256(np.asarray(token_ids, dtype=np.int64).tobytes()).hexdigest()


class Understanding:
    """The understanding tower and its cache.

    Attributes:
        runs: how often the tower ran; a repeated prompt does not count.
    """

    def __init__(self, tower: UnderstandingTower, report: LoadReport, cache_bytes: int) -> None:
        self.tower = tower
        self.report = report
        self.runs = 0
        self.cache: ByteCache[str, TextKeyValues] = ByteCache(cache_bytes, lambda entry: entry.values.nbytes)

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> Understanding:
        """Load the tower, and of its last layer only what keys and values need."""
        tower, report = load_tower(UnderstandingTower, checkpoint, settings)
        return cls(tower, report, settings.text_cache_bytes)

    def prefill(self, token_ids: Sequence[int]) -> TextKeyValues:
        """Keys and values of a prompt, from the cache where it was seen before."""
        key = key_of(token_ids)
        known = self.cache.get(key)
        if known is not None:
            return known
        self.runs += 1
        device = self.tower.embed_tokens.weight.device
        result = TextKeyValues(key, self.tower(torch.tensor(token_ids, dtype=torch.int64, device=device)))
        self.cache.put(key, result)
        return result
