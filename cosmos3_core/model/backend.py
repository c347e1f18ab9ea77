"""The attention kernels by name, without torch: settings name one, `attention` runs it."""

from __future__ import annotations

from enum import StrEnum


class AttentionBackend(StrEnum):
    """Which kernel computes attention. `auto` lets torch choose by device, dtype and shape."""

    AUTO = "auto"
    MATH = "math"
    FLASH = "flash"
    EFFICIENT = "efficient"
    CUDNN = "cudnn"
