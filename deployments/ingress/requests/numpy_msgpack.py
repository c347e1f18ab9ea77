"""msgpack with numpy arrays, as robot clients send it. It never unpickles, and knows nothing about requests.

An array is a map with the keys `__ndarray__`, `data` (its bytes), `dtype` and `shape`; a number is a map with
`__npgeneric__`, `data` and `dtype`. The form of the package msgpack-numpy is read too: `nd`, `type`, `shape`, `data`.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import msgpack
import numpy as np
from numpy.typing import NDArray

from deployments.ingress.requests.strict_json import MAX_DEPTH, deeper_than

MEDIA_TYPE = "application/msgpack"
MEDIA_TYPES = (MEDIA_TYPE, "application/x-msgpack", "application/vnd.msgpack")
MAX_BYTES = 64 * 2**20
# msgpack allocates a list by its declared length before it has read any of its entries.
MAX_ENTRIES = 2**16
MAX_DIMENSIONS = 8
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])|bool|u?int(8|16|32|64)|float(16|32|64)")


class MsgpackError(ValueError):
    """Bytes that are not the msgpack that we accept; the message holds nothing of the content."""


def unpack(content: bytes) -> Any:
    """Read a value. Arrays become read-only numpy arrays, numpy scalars plain numbers, and keys of maps text.

    Raises:
        MsgpackError: malformed, a key that is not text or is repeated, an extension type, or an array of objects.
    """
    limits = {"max_array_len": MAX_ENTRIES, "max_map_len": MAX_ENTRIES}
    try:
        value = msgpack.unpackb(content, raw=False, object_pairs_hook=_map, ext_hook=_no_extension, **limits)
    except MsgpackError:
        raise
    except (msgpack.StackError, RecursionError):
        raise MsgpackError("nested too deeply") from None
    except UnicodeDecodeError:
        raise MsgpackError("holds text that is not UTF-8") from None
    except (msgpack.UnpackException, ValueError) as error:
        raise MsgpackError(str(error).rstrip(".")) from None
    if deeper_than(value, MAX_DEPTH):
        raise MsgpackError("nested too deeply")
    return value


def pack(value: Any) -> bytes:
    """Write a value; arrays get the `__ndarray__` form."""
    packed: bytes = msgpack.packb(value, default=_array_map)
    return packed


def _array_map(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray) or not _DTYPE.fullmatch(value.dtype.str):
        raise TypeError(f"a {type(value).__name__} has no form in msgpack")
    # The keys are bytes, as in the clients' own packers.
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


def _no_extension(code: int, data: bytes) -> NoReturn:
    raise MsgpackError(f"holds extension type {code}; expected none")


def _map(pairs: list[tuple[Any, Any]]) -> Any:
    entries = {_key(key): value for key, value in pairs}
    if len(entries) != len(pairs):
        raise MsgpackError("a map names a field twice")
    marker = entries.get("nd") if "type" in entries else None
    if entries.get("__ndarray__") is True or marker is True:
        return _array(entries)
    if entries.get("__npgeneric__") is True or marker is False:
        return _number(entries)
    return entries


def _key(key: Any) -> str:
    try:
        return key if isinstance(key, str) else str(key, "utf-8")
    except (TypeError, UnicodeDecodeError):
        raise MsgpackError("a map has a key that is not text") from None


def _array(entries: dict[str, Any]) -> NDArray[Any]:
    dtype, shape, data = _dtype(entries), entries.get("shape"), entries.get("data")
    whole = isinstance(shape, list) and all(type(length) is int and length >= 0 for length in shape)
    if not isinstance(shape, list) or not whole or len(shape) > MAX_DIMENSIONS:
        raise MsgpackError(f"an array has a shape that is not a list of up to {MAX_DIMENSIONS} lengths")
    # Its bytes bound the lengths of an array, but not of an empty one, which is as many lists as they say.
    if 0 in shape and math.prod(length for length in shape if length) > MAX_ENTRIES:
        raise MsgpackError(f"an array that is empty has lengths of more than {MAX_ENTRIES} entries")
    if not isinstance(data, bytes) or len(data) != dtype.itemsize * math.prod(shape):
        raise MsgpackError(f"an array's data does not have as many bytes as {dtype.name} {shape}")
    return np.ndarray(shape, dtype, data)


def _number(entries: dict[str, Any]) -> Any:
    dtype, data = _dtype(entries), entries.get("data")
    try:
        if isinstance(data, bytes):
            (number,) = np.frombuffer(data, dtype)
        else:
            with np.errstate(over="ignore"):
                number = dtype.type(data)
    except (TypeError, ValueError, OverflowError):
        raise MsgpackError(f"a number is not a valid {dtype.name}") from None
    return number.item()


def _dtype(entries: dict[str, Any]) -> np.dtype[Any]:
    name = entries.get("dtype", entries.get("type"))
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise MsgpackError("an array or number has a dtype that is not supported; expected a boolean, integer or float")
    return np.dtype(name)
