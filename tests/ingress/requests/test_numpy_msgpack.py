"""msgpack with arrays: the forms of other packers are read, anything else is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.ingress.requests.numpy_msgpack import MAX_ENTRIES, MsgpackError, pack, unpack


def marked(array: np.ndarray[Any, Any], **changes: Any) -> dict[str, Any]:
    return {
        "__ndarray__": True,
        "data": array.tobytes(),
        "dtype": array.dtype.str,
        "shape": list(array.shape),
    } | changes


def refused(value: Any) -> str:
    with pytest.raises(MsgpackError) as caught:
        unpack(value if isinstance(value, bytes) else msgpack.packb(value))
    return str(caught.value)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "float16", "float32", ">f8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 4), (1, 2, 3, 4)])
def test_arrays_round_trip(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    back = unpack(pack({"a": [array]}))["a"][0]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.array_equal(back, array)


def test_the_form_that_sglangs_clients_read() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    entries = msgpack.unpackb(pack(array))
    assert entries == {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": "<f4", b"shape": [2, 3]}


@pytest.mark.parametrize("key", [str, lambda name: name.encode()])
def test_the_forms_of_markers(key: Any) -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    forms: list[dict[str, Any]] = [
        marked(array),
        marked(array, dtype="uint8"),
        {"nd": True, "type": "|u1", "kind": b"", "shape": [2, 3], "data": array.tobytes()},
    ]
    for form in forms:
        assert np.array_equal(unpack(msgpack.packb({key(name): value for name, value in form.items()})), array)
    numbers = [
        {"__npgeneric__": True, "data": 7, "dtype": "<i8"},
        {"nd": False, "type": "<i8", "data": bytes([7] + [0] * 7)},
    ]
    for number in numbers:
        found = unpack(msgpack.packb({key(name): value for name, value in number.items()}))
        assert (found, type(found)) == (7, int)


def test_plain_values() -> None:
    value = {"a": [1, -2, 0.5, True, None, "é", b"\x00"], "b": {"nd": 3}}
    assert unpack(pack(value)) == value
    assert unpack(msgpack.packb({b"a": {b"b": 1}})) == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (marked(np.zeros(2), dtype="|O"), "dtype"),
        (marked(np.zeros(2), dtype="O8"), "dtype"),
        (marked(np.zeros(2), dtype="<c16"), "dtype"),
        (marked(np.zeros(2), dtype="V16"), "dtype"),
        (marked(np.zeros(2), dtype="<f4,<f4"), "dtype"),
        (marked(np.zeros(2), dtype="<M8[s]"), "dtype"),
        (marked(np.zeros(2), dtype=[["a", "<f8"]]), "dtype"),
        (marked(np.zeros(2), dtype=None), "dtype"),
        (marked(np.zeros(2), shape=[3]), "bytes"),
        (marked(np.zeros(2), shape=[2**40, 2**40]), "bytes"),
        (marked(np.zeros(0), shape=[2**40, 0]), "empty"),
        (marked(np.zeros(0), shape=[0, 2**64 - 1]), "empty"),
        (marked(np.zeros(0), shape=[2**9, 2**9, 0]), "empty"),
        (marked(np.zeros(2), shape=[-2]), "shape"),
        (marked(np.zeros(2), shape=[True, 2]), "shape"),
        (marked(np.zeros(2), shape="2"), "shape"),
        (marked(np.zeros(2), shape=[1] * 9), "shape"),
        (marked(np.zeros(2), data="text"), "bytes"),
        ({"nd": True, "type": "|O", "kind": b"O", "shape": [1], "data": b"cos\nsystem\n"}, "dtype"),
        ({"__npgeneric__": True, "dtype": "u1", "data": 300}, "uint8"),
        ({"__npgeneric__": True, "dtype": "u1", "data": "x"}, "uint8"),
        ({"__npgeneric__": True, "dtype": "u1", "data": b"ab"}, "uint8"),
        ({"__npgeneric__": True, "dtype": "|O", "data": 1}, "dtype"),
        ({1: 2}, "key"),
        ({b"\xff": 2}, "key"),
        (msgpack.ExtType(5, b"x"), "extension"),
        (msgpack.packb([0] * (MAX_ENTRIES + 1)), "exceeds"),
        (b"\x82\xa1a\x01\xa1a\x02", "twice"),
        (b"\x82\xa1a\x01\xc4\x01a\x02", "twice"),
        (b"", "incomplete"),
        (b"\x81", "incomplete"),
        (b"\x01\x02", "extra"),
        (b"\xc1", ""),
        (b"\xa1\xff", "UTF-8"),
        (b"\x91" * 80 + b"\x01", "deeply"),
        (b"\x91" * 100_000 + b"\x01", "deeply"),
        (b"\xdd\xff\xff\xff\xff", "exceeds"),
    ],
)
def test_refusals(value: Any, says: str) -> None:
    assert says in refused(value)


def test_objects_cannot_be_packed() -> None:
    for value in (np.array([object()]), np.zeros(2, "c8"), object()):
        with pytest.raises(TypeError):
            pack(value)


@given(st.binary(max_size=40))
def test_any_bytes(content: bytes) -> None:
    try:
        unpack(content)
    except MsgpackError as error:
        assert len(str(error)) < 200


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(), st.text(max_size=4), st.binary(max_size=9)
)
NAMES = st.sampled_from(["__ndarray__", "__npgeneric__", "nd", "data", "dtype", "type", "shape", "kind", "x"])
DTYPES = st.sampled_from(["<f4", "|u1", "|O", "f8", "bool"])


@given(st.dictionaries(NAMES, SCALARS | DTYPES | st.lists(st.integers(-1, 3), max_size=3), max_size=5))
def test_any_marker(entries: dict[str, Any]) -> None:
    with contextlib.suppress(MsgpackError):
        unpack(msgpack.packb(entries))
