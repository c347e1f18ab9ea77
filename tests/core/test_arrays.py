"""Arrays of callers become tensors without a warning, whatever may be done with them, and are never written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cosmos3_core.arrays import tensor_of

Array = NDArray[Any]


def read_only(array: Array) -> Array:
    array = array.copy()
    array.setflags(write=False)
    return array


VIEWS: dict[str, Callable[[Array], Array]] = {
    "its own": lambda array: array,
    "read-only": read_only,
    "reversed": lambda array: array[::-1],
    "mirrored and read-only": lambda array: read_only(array)[:, ::-1],
    "every second": lambda array: array[::2],
    "transposed": lambda array: array.swapaxes(0, 1),
    "broadcast": lambda array: np.broadcast_to(array[:1], array.shape),
    "of bytes": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
}


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("view", VIEWS)
def test_any_array(view: str, dtype: Any) -> None:
    array = VIEWS[view](np.arange(24, dtype=dtype).reshape(4, 6))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = tensor_of(array)
    assert tensor.numpy().tolist() == array.tolist()


def test_nothing_is_copied_without_need() -> None:
    array = np.zeros((2, 3), np.float32)
    assert np.shares_memory(array, tensor_of(array).numpy())
