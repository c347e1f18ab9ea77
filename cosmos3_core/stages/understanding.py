"""The Understanding stage: prompts to keys and values, computed once per distinct prompt.

The result depends on the token ids alone, so it is cached by their hash under a byte budget: a constant negative
prompt or a robot's instruction runs the tower once for ever.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosmos3_core.checkpoint import Checkpoint
from cosmos3_core.model.understanding import UnderstandingTower
from cosmos3_core.settings import ExecutionSettings
from cosmos3_core.towers import load_tower
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


class Understanding:
    """The understanding tower and its cache.

    Attributes:
        runs: how often the tower ran; a repeated prompt does not count.
    """

    def __init__(self, tower: UnderstandingTower, report: LoadReport, cache_bytes: int) -> None:
        self.tower = tower
        self.report = report
        self.cache_bytes = cache_bytes
        self.runs = 0
        self._cache: OrderedDict[str, TextKeyValues] = OrderedDict()
        self._cached_bytes = 0

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint, settings: ExecutionSettings) -> Understanding:
        """Load the tower, and of its last layer only what keys and values need."""
        tower, report = load_tower(UnderstandingTower, checkpoint, settings)
        return cls(tower, report, settings.text_cache_bytes)

    def prefill(self, token_ids: Sequence[int]) -> TextKeyValues:
        """Keys and values of a prompt, from the cache where it was seen before."""
        ids = np.asarray(token_ids, dtype=np.int64)
        key = hashlib.sha256(ids.tobytes()).hexdigest()
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        self.runs += 1
        device = self.tower.embed_tokens.weight.device
        result = TextKeyValues(key, self.tower(torch.from_numpy(ids).to(device)))
        self._remember(result)
        return result

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._cached_bytes = 0

    def _remember(self, result: TextKeyValues) -> None:
        if result.values.nbytes > self.cache_bytes:
            return
        self._cache[result.key] = result
        self._cached_bytes += result.values.nbytes
        while self._cached_bytes > self.cache_bytes:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= dropped.values.nbytes
