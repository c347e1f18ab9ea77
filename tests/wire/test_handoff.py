"""Tensors as numpy arrays and back: the same bits, and memory of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ray
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from cosmos3_core.model.layout import Modality
from cosmos3_core.sampling.denoise import Conditioning
from deployments.wire.handoff import fetch_conditioning, publish_conditioning, to_array, to_tensor

CPU = torch.device("cpu")
BITS = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
# Zeros, infinities, subnormals, the largest, and NaNs, quiet and signalling, of either sign, with payloads.
BFLOAT16 = [0, 0x8000, 0x7F80, 0xFF80, 1, 0x807F, 0x7F7F, 0x7FC0, 0x7FC1, 0x7F81, 0xFFFF, 0xFF8A, 0x3F80]
FLOAT32 = [bits << 16 | low for bits in BFLOAT16 for low in (0, 1, 0xFFFF)]


def of_bits(bits: list[int], dtype: torch.dtype) -> Tensor:
    unsigned = np.array(bits, np.uint32 if dtype is torch.float32 else np.uint16)
    return torch.tensor(unsigned.view(np.int32 if dtype is torch.float32 else np.int16)).view(dtype)


def bits_of(tensor: Tensor) -> list[int]:
    found: list[int] = tensor.contiguous().view(BITS[tensor.dtype]).flatten().tolist()
    return found


def there_and_back(tensor: Tensor) -> Tensor:
    array = to_array(tensor)
    # As it comes out of the object store.
    array.flags.writeable = False
    return to_tensor(array, NAMES[tensor.dtype], CPU)


def assert_same(found: Tensor, expected: Tensor) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.is_contiguous() and bits_of(found) == bits_of(expected)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, FLOAT32), (torch.bfloat16, BFLOAT16)])
def test_bits_that_arithmetic_would_change(dtype: torch.dtype, bits: list[int]) -> None:
    tensor = of_bits(bits, dtype)
    assert len(bits_of(tensor)) == len(bits)
    assert_same(there_and_back(tensor), tensor)


@given(st.lists(st.integers(0, 2**32 - 1), max_size=20))
def test_any_bits_of_float32(bits: list[int]) -> None:
    assert_same(there_and_back(of_bits(bits, torch.float32)), of_bits(bits, torch.float32))


@given(st.lists(st.integers(0, 2**16 - 1), max_size=20))
def test_any_bits_of_bfloat16(bits: list[int]) -> None:
    assert_same(there_and_back(of_bits(bits, torch.bfloat16)), of_bits(bits, torch.bfloat16))


def test_which_arrays_they_become() -> None:
    tensor = torch.tensor([[1.0, -2.0]])
    full, half = to_array(tensor), to_array(tensor.bfloat16())
    assert full.dtype == np.float32 and half.dtype == np.uint16
    assert (full.tolist(), full.nbytes) == ([[1.0, -2.0]], 8)
    assert (half.tolist(), half.nbytes) == ([[0x3F80, 0xC000]], 4)


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize(
    "part",
    [
        lambda x: x.transpose(0, 2),
        lambda x: x[::2, 1:],
        lambda x: x[..., 1],
        lambda x: x[0, 0, 0],
        lambda x: x[:0],
        lambda x: x[:1].expand(5, -1, -1),
        lambda x: x.flip(1),
        lambda x: x[None].to(memory_format=torch.channels_last),
    ],
)
def test_tensors_that_are_no_blocks(dtype: torch.dtype, part: Any) -> None:
    tensor: Tensor = part(torch.arange(60, dtype=torch.float32).reshape(3, 4, 5).to(dtype))
    array = to_array(tensor)
    assert array.flags.c_contiguous and array.shape == tuple(tensor.shape)
    assert_same(there_and_back(tensor), tensor)


@pytest.mark.parametrize("dtype", NAMES)
def test_the_tensor_does_not_share_the_arrays_memory(dtype: torch.dtype) -> None:
    array: NDArray[Any] = to_array(torch.ones(4, dtype=dtype))
    before = array.copy()
    array.flags.writeable = False
    tensor = to_tensor(array, NAMES[dtype], CPU)
    tensor.mul_(3)
    assert np.array_equal(array, before)


@pytest.mark.parametrize("dtype", NAMES)
def test_tensors_that_want_gradients(dtype: torch.dtype) -> None:
    found = there_and_back(torch.ones(3, dtype=dtype, requires_grad=True))
    assert found.tolist() == [1, 1, 1] and not found.requires_grad


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, FLOAT32), (torch.bfloat16, BFLOAT16)])
def test_tensors_on_a_gpu(dtype: torch.dtype, bits: list[int]) -> None:
    device, tensor = torch.device("cuda"), of_bits(bits, dtype)
    found = to_tensor(to_array(tensor.to(device)), NAMES[dtype], device)
    assert found.device.type == "cuda"
    assert_same(found.cpu(), tensor)


@pytest.fixture
def object_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value: value)


@pytest.mark.usefixtures("object_store")
def test_what_is_given_comes_over_with_its_masks_and_whole_items() -> None:
    shapes = {Modality.VISION: (48, 2, 4, 6), Modality.ACTION: (5, 64)}
    none = Conditioning.none(shapes, CPU)
    assert publish_conditioning(none) == (None, 0)
    items = tuple(torch.randn(48, 2, 4, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(12))
    rows = {**none.mask, Modality.ACTION: torch.eye(5, 64)}
    for conditioning in (replace(none, given=items), replace(none, mask=rows), replace(none, mask=rows, given=items)):
        reference, nbytes = publish_conditioning(conditioning)
        found = fetch_conditioning(reference, CPU)
        assert reference is not None and nbytes == sum(array.nbytes for array in reference.values())
        assert len(found.given) == len(conditioning.given)
        pairs = [*zip(found.given, conditioning.given, strict=True)]
        pairs += [(found.mask[name], conditioning.mask[name]) for name in shapes]
        pairs += [(found.clean[name], conditioning.clean[name]) for name in shapes]
        for one, other in pairs:
            assert_same(one, other)
