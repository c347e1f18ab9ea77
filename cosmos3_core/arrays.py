"""Arrays of callers as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def tensor_of(array: NDArray[Any]) -> Tensor:
    """A tensor with an array's values, to be read only. It shares the array's memory where it can.

    PyTorch has no tensors that cannot be written, and none with negative strides: such an array is copied.
    """
    return torch.from_numpy(np.require(array, requirements=("C", "W")))
