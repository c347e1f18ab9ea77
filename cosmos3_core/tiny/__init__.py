"""Make a tiny checkpoint with random weights in the published layout."""

from __future__ import annotations

from typing import Literal

TinyFamily = Literal["nano", "edge"]
"""The family that a tiny checkpoint imitates: Qwen-like Nano with sound, or Nemotron-like Edge without."""
