"""How far two tensors are apart."""

from __future__ import annotations

from torch import Tensor


def relative_error(found: Tensor, exact: Tensor) -> float:
    """The norm of the difference over the norm of the exact value."""
    return float((found.double() - exact.double()).norm() / exact.double().norm())
