"""Results between a process and its caller, who believes nothing of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.decoding.packing import Malformed, Packed, read, write

MOST = 2**20


@pytest.fixture
def file() -> Iterator[int]:
    file = os.memfd_create("test")
    yield file
    os.close(file)


def test_what_is_written_is_read(file: int) -> None:
    arrays: list[NDArray[Any]] = [
        np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 3), np.uint8),
        np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::-1],
    ]
    found = read(write(Packed({"fps": 12.5, "indices": [1]}, arrays), file), file, MOST)
    assert found.facts == {"fps": 12.5, "indices": [1]}
    for array, same in zip(arrays, found.arrays, strict=True):
        assert array.dtype == same.dtype and np.array_equal(array, same)
    assert os.fstat(file).st_size == 0


@pytest.mark.parametrize(
    "arrays",
    [
        [["object", [1]]],
        [["uint8", [-1]]],
        [["uint8", [True]]],
        [["uint8", [2.0]]],
        [["uint8", [1] * 5]],
        [["uint8", [2**40]]],
        [["uint8", [2**19]], ["float32", [2**18]]],
        [["uint8", [10]]],
        [["uint8"]],
        [3],
        {"uint8": [1]},
    ],
)
def test_a_header_that_lies(arrays: object, file: int) -> None:
    os.write(file, bytes(9))
    with pytest.raises((Malformed, TypeError, ValueError)):
        read({"facts": {}, "arrays": arrays}, file, MOST)
