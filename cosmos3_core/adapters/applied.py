"""Adapters on a tower: each linear map also adds `weight · alpha / rank · up(down(x))` of those that are applied.

The tower's weights stay as they are. So every forward pass can have other adapters, or none and then the bits of a
tower without any. Like parallelism, this is applied from outside, as hooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from cosmos3_core.adapters.file import AdapterFile, opened
from cosmos3_core.adapters.use import AdapterUse, check_known
from cosmos3_core.errors import CheckpointError
from cosmos3_core.model.generation import GenerationTower
from cosmos3_core.parallel.mesh import Mesh
from cosmos3_core.parallel.tensor import ALL, tensor_slices
from cosmos3_core.weights import free_memory

Slices = Mapping[str, tuple[slice, slice]]


@dataclass(frozen=True)
class LowRank:
    """The two matrices of a module, as far as a rank holds it.

    Attributes:
        down: `[rank, in]`, and where the module's input is split, this rank's columns of it.
        up: `[out, rank]`, and where the module's output is split, this rank's rows of it.
        factor: alpha over rank.
    """

    down: Tensor
    up: Tensor
    factor: float

    def __call__(self, x: Tensor, weight: float) -> Tensor:
        """What it adds to the module's output for `[..., in]`."""
        return linear(linear(x, self.down) * (weight * self.factor), self.up)


class Adapters:
    """The adapters of a tower, or of the part of it that a rank holds.

    Attributes:
        sha256: the hash of each adapter's file, by its name.
        nbytes: bytes that all of them take on the device.
        applied: those of the current forward pass.
    """

    def __init__(self, sha256: Mapping[str, str] | None = None, nbytes: int = 0) -> None:
        self.sha256 = dict(sha256 or {})
        self.nbytes = nbytes
        self.applied: tuple[AdapterUse, ...] = ()

    @classmethod
    def load(
        cls, files: Sequence[AdapterFile], tower: GenerationTower, mesh: Mesh, memory_limit: int | None
    ) -> Adapters:
        """Read adapters onto a tower that has its weights, cut as these are.

        Args:
            files: the adapters, checked against the tower's whole shapes.
            tower: the tower, or this rank's part of it.
            mesh: this rank's place.
            memory_limit: bytes that the tower and the adapters may take; None means what the device has free.

        Raises:
            CheckpointError: they do not fit into memory, or a file cannot be read.
        """
        nbytes = sum(_nbytes(file, tower) for file in files)
        _check_memory(files, nbytes, tower, memory_limit)
        adapters = cls({file.name: file.sha256 for file in files}, nbytes)
        slices = dict(tensor_slices(tower.config, mesh)) if mesh.degrees.tp > 1 else {}
        pairs: dict[str, dict[str, LowRank]] = {}
        for file in files:
            for module, pair in _loaded(file, tower, slices):
                pairs.setdefault(module, {})[file.name] = pair
        for module, of_module in pairs.items():
            # Before the sum over ranks, which then adds the partial sums of the adapters too.
            tower.get_submodule(module).register_forward_hook(AddAdapters(adapters, of_module), prepend=True)
        return adapters

    def check(self, uses: Sequence[AdapterUse]) -> None:
        """Refuse adapters that are not here.

        Raises:
            RequestError: it says which names there are.
        """
        check_known(uses, tuple(self.sha256))

    @contextmanager
    def apply(self, uses: tuple[AdapterUse, ...]) -> Iterator[None]:
        """Apply some adapters to the forward passes within a block."""
        self.applied = uses
        try:
            yield
        finally:
            self.applied = ()


class AddAdapters:
    """Forward hook of a linear map: its output, and what the applied adapters add to it."""

    def __init__(self, adapters: Adapters, pairs: Mapping[str, LowRank]) -> None:
        self.adapters = adapters
        self.pairs = pairs

    def __call__(self, module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """Add to the output, in place."""
        for use in self.adapters.applied:
            pair = self.pairs.get(use.name)
            if pair is not None and use.weight != 0:
                output += pair(arguments[0], use.weight)
        return output


def _weight(tower: GenerationTower, module: str) -> Tensor:
    weight = tower.get_submodule(module).weight
    assert isinstance(weight, Tensor)
    return weight


def _nbytes(file: AdapterFile, tower: GenerationTower) -> int:
    """Bytes on the device: a module's two matrices have `rank` values for each of its inputs and outputs."""
    weights = {module: _weight(tower, module) for module in file.pairs}
    return sum(pair.rank * sum(weights[module].shape) * weights[module].itemsize for module, pair in file.pairs.items())


def _check_memory(files: Sequence[AdapterFile], nbytes: int, tower: GenerationTower, limit: int | None) -> None:
    if not nbytes:
        return
    device = tower.proj_in.weight.device
    held = sum(parameter.nbytes for parameter in tower.parameters())
    available = free_memory(device) if limit is None else limit - held
    if nbytes > available:
        names = ", ".join(file.name for file in files)
        raise CheckpointError(
            f"the adapters {names} do not fit on {device}: they take {nbytes / 1e9:.3f} GB, and beside the weights "
            f"{max(available, 0) / 1e9:.3f} GB are {'free' if limit is None else 'allowed'}"
        )


def _loaded(file: AdapterFile, tower: GenerationTower, slices: Slices) -> Iterator[tuple[str, LowRank]]:
    """The matrices of an adapter by module, in the dtype and on the device of the module's weight."""
    with opened(file.name, file.path) as reader:
        for module, pair in file.pairs.items():
            rows, columns = slices.get(f"{module}.weight", (ALL, ALL))
            weight = _weight(tower, module)
            down = reader.get_slice(pair.down)[:, columns].to(weight, copy=True).contiguous()
            up = reader.get_slice(pair.up)[rows, :].to(weight, copy=True).contiguous()
            if not bool(torch.isfinite(down).all() and torch.isfinite(up).all()):
                raise CheckpointError(f"adapter {file.name}: {file.path}: {module} holds values that are not finite")
            yield module, LowRank(down, up, pair.factor)
