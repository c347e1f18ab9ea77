"""msgpack with numpy's arrays in it, as robot clients send them. It unpickles nothing and knows nothing of requests.

An array is a map of `__ndarray__`, `data` (its bytes), `dtype` and `shape`, a number one of `__npgeneric__`, `data` and
`dtype`. The package msgpack-numpy has `nd`, `type`, `shape` and `data` instead; that is read too.
"""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import msgpack
import numpy as np
from numpy.typing import NDArray

from deployments.ingress.requests.body import MAX_JSON_DEPTH, deeper_than

MEDIA_TYPE = "application/msgpack"
MEDIA_TYPES = (MEDIA_TYPE, "application/x-msgpack", "application/vnd.msgpack")
MAX_BYTES = 64 * 2**20
# A list is allocated by the length that it claims, before any of its entries is seen.
MAX_ENTRIES = 2**16
MAX_DIMENSIONS = 8
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])|bool|u?int(8|16|32|64)|float(16|32|64)")


class MsgpackError(ValueError):
    """Bytes that are not the msgpack we accept; the message holds nothing of the content."""


def unpack(content: bytes) -> Any:
    """A value, its arrays read-only views of numpy and its numpy numbers plain ones; keys of maps become text.

    Raises:
        MsgpackError: malformed, a key that is no text or comes twice, an extension type, or an array of objects.
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
    if deeper_than(value, MAX_JSON_DEPTH):
        raise MsgpackError("nested too deeply")
    return value


def pack(value: Any) -> bytes:
    """A value as msgpack, its arrays in the `__ndarray__` form."""
    packed: bytes = msgpack.packb(value, default=_marked)
    return packed


def _marked(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray) or not _DTYPE.fullmatch(value.dtype.str):
        raise TypeError(f"a {type(value).__name__} has no form in msgpack")
    # Bytes as keys, as the clients' own packers write them.
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
        raise MsgpackError("a map has a key that is no text") from None


def _array(entries: dict[str, Any]) -> NDArray[Any]:
    dtype, shape, data = _dtype(entries), entries.get("shape"), entries.get("data")
    whole = isinstance(shape, list) and all(type(length) is int and length >= 0 for length in shape)
    if not isinstance(shape, list) or not whole or len(shape) > MAX_DIMENSIONS:
        raise MsgpackError(f"an array has a shape that is no list of up to {MAX_DIMENSIONS} lengths")
    if not isinstance(data, bytes) or len(data) != dtype.itemsize * math.prod(shape):
        raise MsgpackError(f"an array's data are not as many bytes as {dtype.name} {shape} has")
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
        raise MsgpackError(f"a number is no {dtype.name}") from None
    return number.item()


def _dtype(entries: dict[str, Any]) -> np.dtype[Any]:
    name = entries.get("dtype", entries.get("type"))
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise MsgpackError("an array or number has a dtype that is not taken; expected a boolean, integer or float")
    return np.dtype(name)
