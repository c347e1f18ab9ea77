"""Results of decoding on their way between two processes: numbers as JSON, pixels and samples behind it as they lie.

The process that reads them does not trust the one that wrote them, so nothing is unpickled and every size is checked.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = ("uint8", "float32")
MAX_HEADER_BYTES = 2**20
MAX_DIMENSIONS = 4


@dataclass(frozen=True)
class Packed:
    """A result.

    Attributes:
        facts: what JSON can hold.
        arrays: uint8 or float32, of at most four dimensions.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    arrays: Sequence[NDArray[Any]] = ()

    def array(self, dtype: str, dimensions: int) -> NDArray[Any]:
        """The only array.

        Raises:
            Malformed: there is another number of arrays, or it is of another kind.
        """
        if len(self.arrays) != 1 or self.arrays[0].dtype != dtype or self.arrays[0].ndim != dimensions:
            raise Malformed(f"expected an array of {dtype} with {dimensions} dimensions")
        return self.arrays[0]


class Malformed(ValueError):
    """A process sent something that is no result."""


def write(result: Packed, file: int) -> dict[str, Any]:
    """Write the arrays to a file from its start; returns what `read` needs, for JSON."""
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    for array in result.arrays:
        data = _bytes_of(np.ascontiguousarray(array))
        while data:
            data = data[os.write(file, data) :]
    shapes = [[str(array.dtype), list(array.shape)] for array in result.arrays]
    return {"facts": result.facts, "arrays": shapes}


def read(found: Any, file: int, most_bytes: int) -> Packed:
    """Read a result, and empty the file.

    Args:
        found: what `write` returned, if its writer can be believed.
        file: the arrays.
        most_bytes: what they may take together.

    Raises:
        Malformed: the file does not hold what it says.
        Exception: of any kind, where it is something else altogether.
    """
    shapes = [_shape(described) for described in found["arrays"]]
    if sum(np.dtype(dtype).itemsize * prod(shape) for dtype, shape in shapes) > most_bytes:
        raise Malformed("the arrays are too large")
    arrays, offset = [], 0
    for dtype, shape in shapes:
        array = np.empty(shape, dtype)
        data = _bytes_of(array)
        done = 0
        while done < len(data):
            count = os.preadv(file, [data[done:]], offset + done)
            if not count:
                raise Malformed("the arrays are not whole")
            done += count
        offset += done
        arrays.append(array)
    os.ftruncate(file, 0)
    return Packed(found["facts"], arrays)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8).data) if array.size else memoryview(b"")


def _shape(described: Any) -> tuple[str, tuple[int, ...]]:
    dtype, shape = described
    lengths = tuple(shape)
    whole = all(type(length) is int and length >= 0 for length in lengths)
    if dtype not in DTYPES or len(lengths) > MAX_DIMENSIONS or not whole:
        raise Malformed("an array has another type or shape than expected")
    return dtype, lengths
